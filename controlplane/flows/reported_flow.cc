#include "controlplane/flows/reported_flow.h"

#include "absl/strings/str_cat.h"
#include "common/flow/source_network.h"

namespace byrnie {

std::string ReportedFlow::Key() const {
  // No part but the last has a space: identities, addresses and services cannot.
  return absl::StrCat(static_cast<int>(side), " ", static_cast<int>(path), " ",
                      static_cast<int>(verdict), " ", peer.has_value() ? peer->text() : "-", " ",
                      SourceNetwork(), " ", destination.ToString(), " ", service);
}

std::string ReportedFlow::SourceNetwork() const {
  if (side != Side::kDestination || peer.has_value() || !source.has_value()) return "";
  return SourceNetworkOf(*source).ToString();
}

absl::string_view NameOf(ReportedFlow::Path path) {
  switch (path) {
    case ReportedFlow::Path::kHbone:
      return "hbone";
    case ReportedFlow::Path::kDirect:
      return "direct";
    case ReportedFlow::Path::kPlaintext:
      return "plaintext";
    case ReportedFlow::Path::kProbe:
      return "probe";
  }
  return "";
}

absl::string_view NameOf(ReportedFlow::Verdict verdict) {
  switch (verdict) {
    case ReportedFlow::Verdict::kAllowed:
      return "allowed";
    case ReportedFlow::Verdict::kDenied:
      return "denied";
    case ReportedFlow::Verdict::kFailed:
      return "failed";
  }
  return "";
}

}  // namespace byrnie
