#include "certagent/identity_pages.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/json_writer.h"
#include "common/base/utc_text.h"
#include "common/crypto/certificate.h"
#include "common/crypto/revocation_list.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {
namespace {

void WriteCertificate(const Certificate& certificate, absl::Time now, JsonWriter* json) {
  json->BeginObject();
  json->Field("serial", certificate.SerialHex());
  json->Field("subject", certificate.Subject());
  json->Key("uri_sans").BeginArray();
  for (const std::string& san : certificate.uri_sans()) json->Value(san);
  json->EndArray();
  json->Field("fingerprint_sha256", certificate.FingerprintHex());
  json->Field("not_before", UtcText(certificate.not_before()));
  json->Field("not_after", UtcText(certificate.not_after()));
  json->Field("seconds_left", absl::ToInt64Seconds(certificate.not_after() - now));
  json->EndObject();
}

void WriteRoots(const TrustBundle& bundle, absl::Time now, JsonWriter* json) {
  json->BeginArray();
  for (const CertificatePtr& root : bundle.roots) WriteCertificate(*root, now, json);
  json->EndArray();
}

void WriteRevocationLists(const TrustBundle& bundle, JsonWriter* json) {
  json->BeginArray();
  for (const RevocationListPtr& list : bundle.crls) {
    json->BeginObject();
    json->Field("issuer", list->issuer());
    json->Field("this_update", UtcText(list->this_update()));
    json->Field("next_update", UtcText(list->next_update()));
    json->Field("revoked", static_cast<uint64_t>(list->size()));
    json->EndObject();
  }
  json->EndArray();
}

}  // namespace

std::string CertificateState(const Renewer& renewer, absl::Time now) {
  const IdentitySnapshotPtr& snapshot = renewer.snapshot();
  if (snapshot == nullptr) return "none";
  if (now < snapshot->leaf().not_before()) return "not yet valid";
  return now < snapshot->not_after() ? "valid" : "expired";
}

std::string RenewalReason(const Renewer& renewer) {
  if (renewer.issuing()) return "an attempt is under way";
  if (renewer.failures_in_a_row() > 0) {
    return absl::StrCat("repeats after failure ", renewer.failures_in_a_row());
  }
  return "half of the certificate's life, spread, within the authority's window";
}

std::string CertsJson(const Renewer& renewer, absl::Time now) {
  JsonWriter json(JsonWriter::Style::kPretty);
  json.BeginObject();
  json.Field("valid", renewer.HasValidCertificate());
  json.Field("state", CertificateState(renewer, now));
  if (const IdentitySnapshotPtr& snapshot = renewer.snapshot()) {
    json.Field("spiffe_id", snapshot->id().text());
    json.Field("generation", snapshot->generation());
    json.Field("not_after", UtcText(snapshot->not_after()));
    json.Key("certificate_chain").BeginArray();
    for (const CertificatePtr& certificate : snapshot->chain()) {
      WriteCertificate(*certificate, now, &json);
    }
    json.EndArray();
    json.Key("trust_bundles").BeginObject();
    for (const auto& [trust_domain, bundle] : snapshot->bundles().bundles()) {
      json.Key(trust_domain);
      WriteRoots(bundle, now, &json);
    }
    json.EndObject();
  }
  json.Field("trust_bundle_version", renewer.bundle_version());
  json.Key("renewal").BeginObject();
  json.Field("state", renewer.issuing() ? "issuing" : "waiting");
  json.Field("next_attempt", UtcText(renewer.next_attempt()));
  json.Field("why", RenewalReason(renewer));
  json.Field("failures_in_a_row", renewer.failures_in_a_row());
  json.Field("last_error",
             renewer.last_error().ok() ? std::string() : renewer.last_error().ToString());
  json.EndObject();
  json.EndObject();
  return std::move(json).Finish() + "\n";
}

std::string BundlesJson(const Renewer& renewer, absl::optional<uint64_t> proxy_generation,
                        absl::Time now) {
  JsonWriter json(JsonWriter::Style::kPretty);
  json.BeginObject();
  // Acknowledged to the authority once the proxy, where there is one, has it in force.
  json.Field("version", renewer.bundle_version());
  const IdentitySnapshotPtr& snapshot = renewer.snapshot();
  json.Field("in_force", snapshot != nullptr);
  json.Field("proxy", !proxy_generation.has_value() ? "not connected"
                      : snapshot != nullptr && *proxy_generation >= snapshot->generation()
                          ? "in force"
                          : "not in force yet");
  json.Key("trust_domains").BeginObject();
  if (snapshot != nullptr) {
    for (const auto& [trust_domain, bundle] : snapshot->bundles().bundles()) {
      json.Key(trust_domain).BeginObject();
      json.Key("roots");
      WriteRoots(bundle, now, &json);
      json.Key("revocation_lists");
      WriteRevocationLists(bundle, &json);
      json.EndObject();
    }
  }
  json.EndObject();
  json.EndObject();
  return std::move(json).Finish() + "\n";
}

}  // namespace byrnie
