// Requests for certificates in both protocols, from the bytes of the message to the public key, and
// for JWT-SVIDs: any caller may send them.

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "byrnie/ca/v1/ca.pb.h"
#include "common/crypto/csr.h"
#include "common/crypto/pem.h"
#include "common/crypto/private_key.h"
#include "common/crypto/public_key.h"
#include "controlplane/ca/issue_request.h"
#include "controlplane/proto/time_conversion.h"
#include "google/protobuf/stubs/logging.h"
#include "istio/v1/auth/ca.pb.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

// The first byte of an input.
enum Kind : char { kByrnie = 0, kIstio = 1, kJwt = 2 };

const std::shared_ptr<const PrivateKey>& TheKey() {
  static const auto* const key = new std::shared_ptr<const PrivateKey>(*PrivateKey::Generate());
  return *key;
}

void Use(const absl::StatusOr<CertificateRequest>& request) {
  if (!request.ok()) return;
  const absl::StatusOr<std::string> public_key = VerifyCsr(request->csr);
  // What verifies has a key that can be certified.
  if (public_key.ok() && !PublicKey::FromDer(*public_key).ok()) std::abort();
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  byrnie::ca::v1::IssueRequest ours;
  ours.set_csr(*CreateCsr(*TheKey(), "spiffe://td/a"));
  ours.mutable_ttl()->set_seconds(60);
  byrnie::ca::v1::IssueRequest odd;
  odd.set_csr(*CreateCsr(*TheKey(), ""));
  odd.mutable_ttl()->set_seconds(-1);
  odd.mutable_ttl()->set_nanos(2'000'000'000);
  istio::v1::auth::IstioCertificateRequest istio;
  istio.set_csr(ToPem(ours.csr(), "CERTIFICATE REQUEST"));
  istio.set_validity_duration(86400);
  (*istio.mutable_metadata()->mutable_fields())["WorkloadName"].set_string_value("a");
  (*istio.mutable_metadata()->mutable_fields())["ImpersonatedIdentity"].set_string_value(
      "spiffe://td/b");
  istio::v1::auth::IstioCertificateRequest plain;
  plain.set_csr(istio.csr() + istio.csr());
  const auto input = [](Kind kind, const google::protobuf::MessageLite& message) {
    return std::string(1, kind) + message.SerializeAsString();
  };
  byrnie::ca::v1::IssueJwtSvidRequest jwt;
  jwt.add_audience("spiffe://td/b");
  jwt.mutable_ttl()->set_seconds(60);
  return {input(kByrnie, ours), input(kByrnie, odd), input(kIstio, istio), input(kIstio, plain),
          input(kJwt, jwt)};
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // It says of every text that is not UTF-8 that it is none.
  static google::protobuf::LogHandler* const before = google::protobuf::SetLogHandler(nullptr);
  (void)before;
  if (size == 0) return 0;
  const void* const message = data + 1;
  const int message_size = static_cast<int>(size) - 1;
  if (data[0] == byrnie::kByrnie) {
    byrnie::ca::v1::IssueRequest request;
    if (!request.ParseFromArray(message, message_size)) return 0;
    byrnie::Use(byrnie::ReadIssueRequest(request));
  } else if (data[0] == byrnie::kIstio) {
    static const auto* const caller =
        new byrnie::SpiffeId(*byrnie::SpiffeId::Parse("spiffe://td/a"));
    istio::v1::auth::IstioCertificateRequest request;
    if (!request.ParseFromArray(message, message_size)) return 0;
    const auto read = byrnie::ReadIstioRequest(request, *caller);
    // Whoever is named in it gets nothing.
    const auto& fields = request.metadata().fields();
    const auto named = fields.find("ImpersonatedIdentity");
    if (read.ok() && named != fields.end() && !named->second.string_value().empty() &&
        named->second.string_value() != caller->text()) {
      std::abort();
    }
    byrnie::Use(read);
  } else if (data[0] == byrnie::kJwt) {
    byrnie::ca::v1::IssueJwtSvidRequest request;
    if (!request.ParseFromArray(message, message_size) || !request.has_ttl()) return 0;
    const absl::StatusOr<absl::Duration> ttl = byrnie::FromProto(request.ttl());
    if (!ttl.ok()) return 0;
    google::protobuf::Duration again;
    byrnie::ToProto(*ttl, &again);
    if (*byrnie::FromProto(again) != *ttl) std::abort();
  }
  return 0;
}
