#include "certagent/key_custodian.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "common/base/check.h"
#include "common/identity/identity_snapshot.h"

namespace byrnie {
namespace {

constexpr uint32_t kEcdsaSecp256r1Sha256 = 0x0403;
constexpr size_t kPadding = 64;
constexpr absl::string_view kClientContext = "TLS 1.3, client CertificateVerify";
constexpr absl::string_view kServerContext = "TLS 1.3, server CertificateVerify";
constexpr char kMetric[] = "byrnie_certagent_sign_requests_total";
constexpr char kHelp[] = "Signatures asked for by the proxy, by result.";

bool IsHashSize(size_t size) { return size == 32 || size == 48 || size == 64; }

// 64 spaces, a context string, a zero byte, a hash.
bool IsCertificateVerifyInput(absl::string_view input) {
  if (input.size() < kPadding) return false;
  if (input.substr(0, kPadding).find_first_not_of(' ') != absl::string_view::npos) return false;
  input.remove_prefix(kPadding);
  if (!absl::StartsWith(input, kClientContext) && !absl::StartsWith(input, kServerContext)) {
    return false;
  }
  static_assert(kClientContext.size() == kServerContext.size(), "one length is removed for both");
  input.remove_prefix(kClientContext.size());
  return !input.empty() && input.front() == '\0' && IsHashSize(input.size() - 1);
}

}  // namespace

KeyCustodian::KeyCustodian(EventLoop* loop, MetricRegistry* metrics, const Options& options)
    : loop_(loop), options_(options), budget_(options.burst), budget_at_(loop->Now()) {
  signed_ = metrics->AddCounter(kMetric, kHelp, {{"result", "signed"}});
  for (const char* reason :
       {"scheme", "input", "unknown_key", "expired", "not_yet_valid", "rate", "internal"}) {
    refused_[reason] =
        metrics->AddCounter(kMetric, kHelp, {{"result", absl::StrCat("refused_", reason)}});
  }
}

void KeyCustodian::Install(const Certificate& leaf, std::shared_ptr<const PrivateKey> key) {
  DCHECK(loop_->InLoopThread());
  CHECK(leaf.MatchesKey(*key));
  const absl::Duration now = loop_->Now();
  while (replaced_.size() >= kMaxReplaced ||
         (!replaced_.empty() && now - replaced_.back().replaced_at > kHandshake)) {
    replaced_.pop_back();
  }
  if (current_.key != nullptr) {
    current_.replaced_at = now;
    replaced_.push_front(std::move(current_));
  }
  current_ = Held{leaf.FingerprintHex(), leaf.not_before(), leaf.not_after(), std::move(key), {}};
}

const KeyCustodian::Held* KeyCustodian::Find(absl::string_view leaf_fingerprint_hex) const {
  if (current_.key != nullptr && current_.fingerprint == leaf_fingerprint_hex) return &current_;
  for (const Held& replaced : replaced_) {
    if (replaced.fingerprint == leaf_fingerprint_hex) return &replaced;
  }
  return nullptr;
}

absl::StatusOr<std::string> KeyCustodian::Sign(absl::string_view leaf_fingerprint_hex,
                                               uint32_t scheme, absl::string_view input) {
  DCHECK(loop_->InLoopThread());
  if (scheme != kEcdsaSecp256r1Sha256) {
    return Refuse("scheme", absl::InvalidArgumentError(absl::StrFormat(
                                "signature scheme 0x%04x is not ecdsa_secp256r1_sha256", scheme)));
  }
  if (!IsCertificateVerifyInput(input)) {
    return Refuse("input", absl::InvalidArgumentError(absl::StrCat(
                               input.size(), " bytes are no TLS 1.3 CertificateVerify input")));
  }
  const Held* const held = Find(leaf_fingerprint_hex);
  if (held == nullptr) {
    return Refuse("unknown_key",
                  absl::NotFoundError("the leaf is neither the current one nor one just replaced"));
  }
  const absl::Time now = loop_->WallNow();
  absl::Status valid = CheckOwnValidity(held->not_before, held->not_after, now);
  if (!valid.ok()) {
    return Refuse(now < held->not_before ? "not_yet_valid" : "expired", std::move(valid));
  }
  if (!TakeFromBudget()) {
    return Refuse("rate", absl::ResourceExhaustedError(
                              absl::StrCat("more than ", options_.signatures_per_second,
                                           " signatures per second asked for")));
  }
  absl::StatusOr<std::string> signature = held->key->SignEcdsaSha256(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(input.data()), input.size()));
  if (!signature.ok()) return Refuse("internal", signature.status());
  signed_->Increment();
  return signature;
}

absl::Status KeyCustodian::Refuse(const char* reason, absl::Status why) {
  refused_.find(reason)->second->Increment();
  return why;
}

bool KeyCustodian::TakeFromBudget() {
  const absl::Duration now = loop_->Now();
  budget_ = std::min(options_.burst, budget_ + options_.signatures_per_second *
                                                   absl::ToDoubleSeconds(now - budget_at_));
  budget_at_ = now;
  if (budget_ < 1) return false;
  budget_ -= 1;
  return true;
}

}  // namespace byrnie
