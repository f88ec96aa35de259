#include "common/http2/peer_end.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

constexpr absl::string_view kStream = "byrnie/http2-stream-end";
constexpr absl::string_view kSession = "byrnie/http2-session-end";

}  // namespace

absl::Status PeerEndError(PeerEnd end, absl::string_view message) {
  absl::Status status = absl::UnavailableError(message);
  status.SetPayload(end.of == PeerEnd::Of::kStream ? kStream : kSession,
                    absl::Cord(absl::StrCat(end.code)));
  return status;
}

absl::optional<PeerEnd> PeerEndOf(const absl::Status& status) {
  PeerEnd end;
  absl::optional<absl::Cord> code = status.GetPayload(kStream);
  if (!code.has_value()) {
    end.of = PeerEnd::Of::kSession;
    code = status.GetPayload(kSession);
  }
  if (!code.has_value() || !absl::SimpleAtoi(std::string(*code), &end.code)) return absl::nullopt;
  return end;
}

}  // namespace byrnie
