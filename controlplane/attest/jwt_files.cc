#include "controlplane/attest/jwt_files.h"

#include <unistd.h>

#include <cstdint>
#include <iterator>
#include <set>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "common/crypto/sha256_fingerprint.h"

namespace byrnie {
namespace {

constexpr char kReads[] = "byrnie_controlplane_jwt_file_reads_total";
constexpr char kReadsHelp[] =
    "Times the file of JWT issuers or one of their key sets was read, by result.";

absl::Status InFile(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("file \"", path, "\": ", status.message()));
}

absl::StatusOr<std::shared_ptr<const JwtConfig>> ReadConfig(const std::string& path,
                                                            const std::string& trust_domain) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, JwtConfig::kMaxSize));
  absl::StatusOr<JwtConfig> config = JwtConfig::Parse(text, trust_domain);
  if (!config.ok()) return InFile(path, config.status());
  return std::make_shared<const JwtConfig>(*std::move(config));
}

absl::StatusOr<std::shared_ptr<const JwkSet>> ReadKeys(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, JwkSet::kMaxSize));
  absl::StatusOr<JwkSet> keys = JwkSet::Parse(text);
  if (!keys.ok()) return InFile(path, keys.status());
  return std::make_shared<const JwkSet>(*std::move(keys));
}

}  // namespace

JwtFiles::JwtFiles(std::string path, std::string trust_domain, Logger* log, MetricRegistry* metrics)
    : path_(std::move(path)),
      trust_domain_(std::move(trust_domain)),
      log_(log),
      reads_ok_(metrics->AddCounter(kReads, kReadsHelp, {{"result", "ok"}})),
      reads_rejected_(metrics->AddCounter(kReads, kReadsHelp, {{"result", "rejected"}})),
      candidate_(absl::NotFoundError("not read yet")) {}

absl::StatusOr<std::unique_ptr<JwtFiles>> JwtFiles::Create(std::string path,
                                                           std::string trust_domain, Logger* log,
                                                           MetricRegistry* metrics) {
  auto files =
      absl::WrapUnique(new JwtFiles(std::move(path), std::move(trust_domain), log, metrics));
  files->Look();
  const absl::Status usable = files->CheckCandidate();
  if (!usable.ok()) {
    return absl::Status(usable.code(),
                        absl::StrCat("--jwt_config: ", usable.message(),
                                     absl::IsPermissionDenied(usable)
                                         ? absl::StrCat("; let uid ", ::geteuid(), " read it")
                                         : ""));
  }
  files->config_ = *files->candidate_;
  files->trust_ = files->MakeTrust();
  return files;
}

bool JwtFiles::Poll() {
  if (!Look()) return false;
  if (CheckCandidate().ok() && config_ != *candidate_) {
    config_ = *candidate_;
    log_->Info("JWT issuers read",
               {{"path", path_}, {"issuers", static_cast<uint64_t>(config_->issuers.size())}});
  }
  trust_ = MakeTrust();
  return true;
}

bool JwtFiles::Look() {
  bool read = LookAtConfig();
  std::set<std::string> wanted;
  for (const auto& config : {candidate_.ok() ? *candidate_ : nullptr, config_}) {
    if (config == nullptr) continue;
    for (const JwtIssuer& issuer : config->issuers) wanted.insert(issuer.jwks_file);
  }
  for (const std::string& path : wanted) read = LookAtKeys(path) || read;
  for (auto it = key_files_.begin(); it != key_files_.end();) {
    it = wanted.count(it->first) == 0 ? key_files_.erase(it) : std::next(it);
  }
  return read;
}

bool JwtFiles::LookAtConfig() {
  const absl::optional<FileFingerprint> now = TakeFileFingerprint(path_);
  if (now == seen_ && config_ != nullptr) return false;
  seen_ = now;
  candidate_ = ReadConfig(path_, trust_domain_);
  if (!candidate_.ok()) {
    LogRejected(path_, candidate_.status());
    return true;
  }
  reads_ok_->Increment();
  return true;
}

bool JwtFiles::LookAtKeys(const std::string& path) {
  const auto found = key_files_.find(path);
  const bool first = found == key_files_.end();
  KeyFile& file = first ? key_files_[path] : found->second;
  const absl::optional<FileFingerprint> now = TakeFileFingerprint(path);
  if (!first && now == file.seen) return false;
  file.seen = now;
  absl::StatusOr<std::shared_ptr<const JwkSet>> keys = ReadKeys(path);
  file.status = keys.status();
  if (!keys.ok()) {
    LogRejected(path, keys.status());
    return true;
  }
  reads_ok_->Increment();
  file.keys = *std::move(keys);
  log_->Info("JWT keys read", {{"path", path},
                               {"keys", static_cast<uint64_t>(file.keys->size())},
                               {"ignored", static_cast<uint64_t>(file.keys->ignored())}});
  return true;
}

void JwtFiles::LogRejected(const std::string& path, const absl::Status& status) {
  reads_rejected_->Increment();
  // At start it is said by whoever started.
  if (config_ == nullptr) return;
  log_->Error("file of JWT issuers or keys rejected, what it said before stays in force",
              {{"path", path}, {"error", status.message()}});
}

std::vector<std::string> JwtFiles::KeyFiles() const {
  std::vector<std::string> paths;
  for (const auto& [path, file] : key_files_) paths.push_back(path);
  return paths;
}

std::vector<std::string> JwtFiles::Rejected() const {
  std::vector<std::string> rejected;
  if (!candidate_.ok()) rejected.emplace_back(candidate_.status().message());
  for (const auto& [path, file] : key_files_) {
    if (!file.status.ok()) rejected.emplace_back(file.status.message());
  }
  return rejected;
}

absl::Status JwtFiles::CheckCandidate() const {
  RETURN_IF_ERROR(candidate_.status());
  for (const JwtIssuer& issuer : (*candidate_)->issuers) {
    const KeyFile& file = key_files_.at(issuer.jwks_file);
    if (file.keys == nullptr) return file.status;
  }
  return absl::OkStatus();
}

JwtTrustPtr JwtFiles::MakeTrust() const {
  auto trust = std::make_shared<JwtTrust>();
  trust->leeway = config_->leeway;
  std::string digests = config_->digest;
  for (const JwtIssuer& issuer : config_->issuers) {
    trust->issuers.push_back({issuer, key_files_.at(issuer.jwks_file).keys});
    absl::StrAppend(&digests, ",", trust->issuers.back().keys->digest());
  }
  trust->digest = Sha256FingerprintHex(digests);
  return trust;
}

}  // namespace byrnie
