#include "controlplane/ca/authority.h"

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/crypto/certificate_builder.h"

namespace byrnie {
namespace {

// Certificates have whole seconds (RFC 5280 section 4.1.2.5).
absl::Time FloorToSecond(absl::Time time) {
  return absl::FromUnixSeconds(absl::ToUnixSeconds(time));
}

absl::Status Damaged(absl::string_view what, absl::string_view how) {
  return absl::FailedPreconditionError(absl::StrCat("the ", what, " in the store is damaged: ", how,
                                                    "; restore the store from a backup"));
}

}  // namespace

absl::StatusOr<SpiffeId> ControlPlaneId(absl::string_view trust_domain) {
  return SpiffeId::Parse(absl::StrCat("spiffe://", trust_domain, "/byrnie/controlplane"));
}

bool IsReservedPath(absl::string_view path) {
  return path == "/byrnie" || absl::StartsWith(path, "/byrnie/");
}

Authority::Authority(std::string trust_domain, CertificatePtr root,
                     std::shared_ptr<const PrivateKey> key, TrustBundleSet bundles,
                     const Clock* clock)
    : trust_domain_(std::move(trust_domain)),
      root_(std::move(root)),
      key_(std::move(key)),
      bundles_(std::move(bundles)),
      clock_(clock) {}

absl::StatusOr<std::unique_ptr<Authority>> Authority::LoadOrCreate(Store* store,
                                                                   const std::string& trust_domain,
                                                                   const Clock* clock) {
  RETURN_IF_ERROR(SpiffeId::CheckTrustDomain(trust_domain));
  ASSIGN_OR_RETURN(absl::optional<AuthorityRecord> record, LoadAuthority(store));
  if (!record.has_value()) {
    ASSIGN_OR_RETURN(record, NewRecord(trust_domain, *clock));
    const absl::Status created = CreateAuthority(store, *record);
    if (absl::IsAlreadyExists(created)) {
      // Another process was faster: its authority counts.
      ASSIGN_OR_RETURN(record, LoadAuthority(store));
      if (!record.has_value()) return absl::UnavailableError("store: the authority disappeared");
    } else if (!created.ok()) {
      return created;
    }
  }
  return FromRecord(*record, trust_domain, clock);
}

absl::StatusOr<AuthorityRecord> Authority::NewRecord(const std::string& trust_domain,
                                                     const Clock& clock) {
  ASSIGN_OR_RETURN(std::shared_ptr<const PrivateKey> key, PrivateKey::Generate());
  CertificateSpec spec;
  spec.common_name = absl::StrCat("Byrnie root of ", trust_domain).substr(0, 64);
  // X509-SVID section 3.1: a signing certificate may have a SPIFFE ID, and then without a path.
  spec.uri_sans = {absl::StrCat("spiffe://", trust_domain)};
  spec.not_before = FloorToSecond(clock.WallNow() - kBackdate);
  spec.not_after = FloorToSecond(clock.WallNow() + kRootLifetime);
  spec.is_ca = true;
  spec.path_length = 0;
  ASSIGN_OR_RETURN(CertificatePtr root, BuildCertificate(spec, key->PublicKeyDer(), nullptr, *key));
  return AuthorityRecord{trust_domain, root->der(), key->ToPkcs8()};
}

absl::StatusOr<std::unique_ptr<Authority>> Authority::FromRecord(const AuthorityRecord& record,
                                                                 const std::string& trust_domain,
                                                                 const Clock* clock) {
  if (record.trust_domain != trust_domain) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the store holds the authority of trust domain \"", record.trust_domain, "\", not of \"",
        trust_domain, "\"; give --trust_domain=", record.trust_domain, " or another --store"));
  }
  absl::StatusOr<CertificatePtr> stored_root = Certificate::FromDer(record.root_der);
  if (!stored_root.ok()) return Damaged("root certificate", stored_root.status().message());
  const CertificatePtr root = *std::move(stored_root);
  absl::StatusOr<std::shared_ptr<const PrivateKey>> stored_key =
      PrivateKey::FromPkcs8(record.key_pkcs8);
  if (!stored_key.ok()) return Damaged("CA key", stored_key.status().message());
  std::shared_ptr<const PrivateKey> key = *std::move(stored_key);
  if (!root->MatchesKey(*key)) return Damaged("root certificate", "it does not belong to its key");
  if (root->not_after() <= clock->WallNow()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the root certificate in the store expired at ",
                     absl::FormatTime(root->not_after(), absl::UTCTimeZone()),
                     "; start with a new --store and give agents the new trust bundle"));
  }
  ASSIGN_OR_RETURN(TrustBundleSet bundles, TrustBundleSet::Create({{trust_domain, {{root}}}}));
  return absl::WrapUnique(
      new Authority(trust_domain, std::move(root), std::move(key), std::move(bundles), clock));
}

absl::StatusOr<IssuedSvid> Authority::Issue(const SpiffeId& id, absl::string_view public_key_der,
                                            absl::optional<absl::Duration> ttl, absl::Duration cap,
                                            const std::vector<std::string>& dns_names) const {
  if (id.trust_domain() != trust_domain_) {
    return absl::InvalidArgumentError(
        absl::StrCat(id.text(), " is not of the trust domain ", trust_domain_));
  }
  if (ttl.has_value() && *ttl <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a certificate cannot live ", absl::FormatDuration(*ttl)));
  }
  // Below a second the rounding would make it end before it begins.
  const absl::Duration life =
      std::max(std::min(ttl.value_or(cap), cap), absl::Duration(absl::Seconds(1)));
  const absl::Time now = clock_->WallNow();
  if (root_->not_after() <= now) {
    return absl::FailedPreconditionError("the root certificate of the authority has expired");
  }

  CertificateSpec spec;
  spec.uri_sans = {id.text()};
  spec.dns_sans = dns_names;
  spec.not_before = std::max(FloorToSecond(now - kBackdate), root_->not_before());
  spec.not_after = std::min(FloorToSecond(now + life), root_->not_after());
  ASSIGN_OR_RETURN(CertificatePtr leaf, BuildCertificate(spec, public_key_der, root_.get(), *key_));
  IssuedSvid issued;
  issued.chain = {std::move(leaf)};
  issued.issued_at = now;
  // Of the life from now on: the back-dated minute is no life the holder had.
  const absl::Duration left = std::max(spec.not_after - now, absl::ZeroDuration());
  issued.renew_after = now + left * 0.4;
  issued.renew_before = now + left * 0.6;
  return issued;
}

}  // namespace byrnie
