#include "controlplane/ca/plugged_ca.h"

#include <sys/types.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/file.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "common/crypto/ca_key.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {
namespace {

constexpr char kCaCert[] = "ca-cert.pem";
constexpr char kCaKey[] = "ca-key.pem";
constexpr char kRootCert[] = "root-cert.pem";
constexpr char kCertChain[] = "cert-chain.pem";

constexpr size_t kMaxCertificateFile = 256 * 1024;
constexpr size_t kMaxKeyFile = 16 * 1024;
// Group members may read the key, as they do a mounted secret's.
constexpr mode_t kForbidden = 0037;

constexpr char kReads[] = "byrnie_controlplane_plugged_ca_reads_total";
constexpr char kReadsHelp[] = "Times the files of the plugged CA were read, by result.";

absl::Status InFile(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::StatusOr<std::vector<CertificatePtr>> ReadCertificates(const std::string& path) {
  ASSIGN_OR_RETURN(std::string pem, ReadFile(path, kMaxCertificateFile));
  absl::StatusOr<std::vector<CertificatePtr>> certificates = Certificate::ListFromPem(pem);
  if (!certificates.ok()) return InFile(path, certificates.status());
  return certificates;
}

// None where the file is not there or empty.
absl::StatusOr<std::vector<CertificatePtr>> ReadChain(const std::string& path) {
  absl::StatusOr<std::string> pem = ReadFile(path, kMaxCertificateFile);
  if (absl::IsNotFound(pem.status())) return std::vector<CertificatePtr>();
  if (!pem.ok()) return pem.status();
  if (absl::StripAsciiWhitespace(*pem).empty()) return std::vector<CertificatePtr>();
  absl::StatusOr<std::vector<CertificatePtr>> certificates = Certificate::ListFromPem(*pem);
  if (!certificates.ok()) return InFile(path, certificates.status());
  return certificates;
}

absl::StatusOr<std::shared_ptr<const IssuerKey>> ReadKey(const std::string& path) {
  const absl::optional<mode_t> mode = LooseMode(path);
  if (mode.has_value() && (*mode & kForbidden) != 0) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "others may get at the CA key %s (mode %04o); chmod 600 %s, or give the mount defaultMode "
        "0400, and consider another CA: a key that was read stays known",
        path, *mode, path));
  }
  ASSIGN_OR_RETURN(SecretBytes pem, ReadSecretFile(path, kMaxKeyFile));
  absl::StatusOr<std::shared_ptr<const IssuerKey>> key = ParseCaKey(pem);
  if (!key.ok()) return InFile(path, key.status());
  return key;
}

bool Holds(const std::vector<CertificatePtr>& list, const Certificate& certificate) {
  return std::any_of(list.begin(), list.end(), [&](const CertificatePtr& other) {
    return other->der() == certificate.der();
  });
}

absl::Status CheckTimes(const Certificate& certificate, absl::Time now) {
  if (now < certificate.not_before()) {
    return absl::InvalidArgumentError(absl::StrCat(certificate.Subject(), " is valid from ",
                                                   UtcText(certificate.not_before()),
                                                   " on; is the clock of this machine behind?"));
  }
  if (now >= certificate.not_after()) {
    return absl::InvalidArgumentError(
        absl::StrCat(certificate.Subject(), " expired at ", UtcText(certificate.not_after())));
  }
  return absl::OkStatus();
}

}  // namespace

PluggedCa::PluggedCa(std::string directory, std::string trust_domain,
                     std::vector<std::string> own_names, const Clock* clock, Logger* logger,
                     MetricRegistry* metrics)
    : directory_(std::move(directory)),
      trust_domain_(std::move(trust_domain)),
      own_names_(std::move(own_names)),
      clock_(clock),
      logger_(logger),
      reads_ok_(metrics->AddCounter(kReads, kReadsHelp, {{"result", "ok"}})),
      reads_rejected_(metrics->AddCounter(kReads, kReadsHelp, {{"result", "rejected"}})) {}

absl::StatusOr<std::unique_ptr<PluggedCa>> PluggedCa::Create(std::string directory,
                                                             std::string trust_domain,
                                                             const Clock* clock, Logger* logger,
                                                             MetricRegistry* metrics,
                                                             std::vector<std::string> own_names) {
  auto ca = absl::WrapUnique(new PluggedCa(std::move(directory), std::move(trust_domain),
                                           std::move(own_names), clock, logger, metrics));
  ca->seen_ = ca->Look();
  ASSIGN_OR_RETURN(ca->snapshot_, ca->Read());
  ca->reads_ok_->Increment();
  return ca;
}

std::string PluggedCa::PathOf(const char* name) const {
  return absl::StrCat(directory_, "/", name);
}

PluggedCa::Fingerprints PluggedCa::Look() const {
  return {TakeFileFingerprint(PathOf(kCaCert)), TakeFileFingerprint(PathOf(kCaKey)),
          TakeFileFingerprint(PathOf(kRootCert)), TakeFileFingerprint(PathOf(kCertChain))};
}

absl::StatusOr<AuthoritySnapshotPtr> PluggedCa::Read() const {
  const absl::Time now = clock_->WallNow();
  ASSIGN_OR_RETURN(std::vector<CertificatePtr> issuers, ReadCertificates(PathOf(kCaCert)));
  if (issuers.size() != 1) {
    return absl::InvalidArgumentError(absl::StrCat(PathOf(kCaCert), ": holds ", issuers.size(),
                                                   " certificates; give the one that signs here "
                                                   "and those above it in ",
                                                   kCertChain));
  }
  const CertificatePtr issuer = issuers.front();
  ASSIGN_OR_RETURN(std::shared_ptr<const IssuerKey> key, ReadKey(PathOf(kCaKey)));
  if (!issuer->MatchesKey(*key)) {
    return absl::InvalidArgumentError(
        absl::StrCat(PathOf(kCaKey), ": is not the key of ", issuer->Subject(), " in ", kCaCert));
  }
  ASSIGN_OR_RETURN(std::vector<CertificatePtr> roots, ReadCertificates(PathOf(kRootCert)));
  TrustBundleMap bundle;
  bundle[trust_domain_].roots = roots;
  const absl::Status usable = TrustBundleSet::Create(std::move(bundle)).status();
  if (!usable.ok()) return InFile(PathOf(kRootCert), usable);
  ASSIGN_OR_RETURN(std::vector<CertificatePtr> above, ReadChain(PathOf(kCertChain)));

  CertificateChain intermediates;
  if (!Holds(roots, *issuer)) {
    intermediates.push_back(issuer);
    for (CertificatePtr& certificate : above) {
      if (!Holds(roots, *certificate) && !Holds(intermediates, *certificate)) {
        intermediates.push_back(std::move(certificate));
      }
    }
  }
  for (const CertificatePtr& certificate : intermediates) {
    const absl::Status valid = CheckTimes(*certificate, now);
    if (!valid.ok()) return InFile(directory_, valid);
  }
  auto snapshot = std::make_shared<AuthoritySnapshot>();
  absl::Status why;
  for (const CertificatePtr& root : roots) {
    if (intermediates.empty() && root->der() != issuer->der()) continue;
    absl::StatusOr<SigningAuthorityPtr> authority =
        SigningAuthority::Create(trust_domain_, root, intermediates, key, now, own_names_);
    if (authority.ok()) why = CheckTimes(*root, now);
    if (authority.ok() && why.ok()) {
      snapshot->signer = *std::move(authority);
      break;
    }
    if (!authority.ok()) why = authority.status();
  }
  if (snapshot->signer == nullptr) return InFile(directory_, why);
  snapshot->trust_domain = trust_domain_;
  snapshot->server_signer = snapshot->signer;
  snapshot->authorities = {snapshot->signer};
  snapshot->roots = std::move(roots);
  return AuthoritySnapshotPtr(std::move(snapshot));
}

bool PluggedCa::Poll() {
  // Before reading: a change during the read is then seen by the next look.
  const Fingerprints now_there = Look();
  if (now_there == seen_) return false;
  seen_ = now_there;
  absl::StatusOr<AuthoritySnapshotPtr> read = Read();
  state_ = read.status();
  if (!read.ok()) {
    reads_rejected_->Increment();
    logger_->Error("the plugged CA cannot be used as it is now, what was in force stays",
                   {{"error", read.status().message()}});
    return false;
  }
  reads_ok_->Increment();
  snapshot_ = *std::move(read);
  logger_->Info("plugged CA read", {{"issuer", snapshot_->signer->issuer().Subject()},
                                    {"root", snapshot_->signer->root_id()},
                                    {"not_after", UtcText(snapshot_->signer->not_after())}});
  return true;
}

}  // namespace byrnie
