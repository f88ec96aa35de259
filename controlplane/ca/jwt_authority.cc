#include "controlplane/ca/jwt_authority.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/crypto/sha256_fingerprint.h"
#include "common/identity/jwt_svid.h"
#include "controlplane/records/jwt_key_record.h"

namespace byrnie {
namespace {

constexpr size_t kKeyIdLength = 32;
// How often the store is looked at, at the least; also after a failure.
constexpr absl::Duration kLongestLoadInterval = absl::Seconds(10);

// What a key is sealed for.
std::string SealedNameOf(const std::string& id) { return absl::StrCat("JWT key ", id); }

}  // namespace

constexpr absl::Duration JwtAuthority::kLongestLead;

JwtAuthority::JwtAuthority(Store* store, std::string trust_domain, const Clock* clock,
                           Options options)
    : store_(store), trust_domain_(std::move(trust_domain)), clock_(clock), options_(options) {}

absl::StatusOr<std::unique_ptr<JwtAuthority>> JwtAuthority::LoadOrCreate(Store* store,
                                                                         std::string trust_domain,
                                                                         const Clock* clock,
                                                                         Options options) {
  auto authority =
      absl::WrapUnique(new JwtAuthority(store, std::move(trust_domain), clock, options));
  const absl::Time now = clock->WallNow();
  ASSIGN_OR_RETURN(Keys keys, authority->Load(now));
  // After a long stop every key may have ended.
  if (keys.empty()) {
    RETURN_IF_ERROR(authority->Add(now, absl::InfinitePast(), now));
    ASSIGN_OR_RETURN(keys, authority->Load(now));
  }
  absl::MutexLock lock(&authority->mu_);
  authority->keys_ = std::move(keys);
  return authority;
}

absl::Duration JwtAuthority::Lead() const {
  return std::min(options_.rotation / 4, absl::Duration(kLongestLead));
}

absl::StatusOr<JwtAuthority::Keys> JwtAuthority::Load(absl::Time now) const {
  std::vector<std::string> damaged;
  ASSIGN_OR_RETURN(std::vector<JwtKeyRecord> records, LoadJwtKeys(store_, now, &damaged));
  std::map<std::string, std::string> unreadable;
  for (const std::string& record : damaged) unreadable[record] = "the record is damaged";
  Keys keys;
  absl::Status sealed;
  for (JwtKeyRecord& record : records) {
    const std::string name = record.record;
    absl::StatusOr<Key> key = Open(std::move(record));
    if (key.ok()) {
      keys.push_back(*std::move(key));
    } else if (absl::IsFailedPrecondition(key.status()) || absl::IsDataLoss(key.status())) {
      sealed.Update(key.status());
      unreadable[name] = std::string(key.status().message());
    } else {
      return key.status();
    }
  }
  // Not one record is odd, but what this process was given to open them with.
  if (keys.empty() && absl::IsFailedPrecondition(sealed)) return sealed;
  AddKnown(unreadable, now, &keys);
  return keys;
}

absl::StatusOr<JwtAuthority::Key> JwtAuthority::Open(JwtKeyRecord record) const {
  Key key;
  const std::string name = SealedNameOf(record.id);
  ASSIGN_OR_RETURN(KeySeal::Opened opened, options_.seal.Open(record.key_pkcs8.view(), name));
  absl::StatusOr<std::shared_ptr<const PrivateKey>> parsed = PrivateKey::FromPkcs8(opened.key);
  if (!parsed.ok()) return absl::DataLossError(parsed.status().message());
  key.key = *std::move(parsed);
  if (opened.stale) RETURN_IF_ERROR(Reseal(opened.key, &record));
  ASSIGN_OR_RETURN(key.public_key, PublicKey::FromDer(key.key->PublicKeyDer()));
  key.id = record.id;
  key.signs_from = record.signs_from;
  key.not_after = record.not_after;
  key.record = std::move(record.record);
  return key;
}

void JwtAuthority::AddKnown(const std::map<std::string, std::string>& unreadable, absl::Time now,
                            Keys* keys) const {
  std::vector<UnreadableRecord> told;
  absl::MutexLock lock(&mu_);
  for (const auto& [record, why] : unreadable) {
    std::string effect =
        "tokens that were signed with it are refused here, and others sign from now on";
    for (const Key& key : keys_) {
      if (key.record != record || key.not_after <= now) continue;
      keys->push_back(key);
      effect = "the key stays what it was until it ends";
    }
    std::string remedy =
        options_.unreadable == nullptr ? "" : options_.unreadable->DeleteByHand(record);
    told.push_back({record, why, std::move(effect), std::move(remedy)});
  }
  std::sort(keys->begin(), keys->end(), [](const Key& a, const Key& b) {
    return std::tie(a.signs_from, a.id) < std::tie(b.signs_from, b.id);
  });
  if (options_.unreadable == nullptr) return;
  options_.unreadable->Set(UnreadableRecords::Kind::kJwtKey, std::move(told));
}

absl::Status JwtAuthority::Reseal(const SecretBytes& key, JwtKeyRecord* record) const {
  ASSIGN_OR_RETURN(std::string stored, options_.seal.Protect(key, SealedNameOf(record->id)));
  record->key_pkcs8 = SecretBytes::TakeFrom(&stored);
  const absl::Status replaced = ReplaceJwtKey(store_, *record);
  // Another process was faster, or the key has ended.
  return absl::IsNotFound(replaced) || absl::IsAborted(replaced) ? absl::OkStatus() : replaced;
}

absl::Status JwtAuthority::Add(absl::Time signs_from, absl::Time after, absl::Time now) {
  ASSIGN_OR_RETURN(std::shared_ptr<const PrivateKey> key, PrivateKey::Generate());
  JwtKeyRecord record;
  record.id = Sha256FingerprintHex(key->PublicKeyDer()).substr(0, kKeyIdLength);
  ASSIGN_OR_RETURN(std::string stored,
                   options_.seal.Protect(key->ToPkcs8(), SealedNameOf(record.id)));
  record.key_pkcs8 = SecretBytes::TakeFrom(&stored);
  record.signs_from = signs_from;
  record.not_after = signs_from + 2 * options_.rotation + options_.max_ttl;
  const absl::Status added = AddJwtKey(store_, record, after, now);
  // Another process was faster: its key counts.
  return absl::IsAlreadyExists(added) ? absl::OkStatus() : added;
}

bool JwtAuthority::SameIds(const Keys& a, const Keys& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Key& x, const Key& y) { return x.id == y.id; });
}

absl::StatusOr<bool> JwtAuthority::Reload() {
  absl::MutexLock reload_lock(&reload_mu_);
  ASSIGN_OR_RETURN(Keys keys, Load(clock_->WallNow()));
  absl::MutexLock lock(&mu_);
  const bool changed = !SameIds(keys, keys_);
  keys_ = std::move(keys);
  return changed;
}

absl::StatusOr<bool> JwtAuthority::RotateIfDue(bool may_make) {
  const absl::Time now = clock_->WallNow();
  absl::Time newest = absl::InfinitePast();
  {
    absl::MutexLock lock(&mu_);
    for (const Key& key : keys_) newest = std::max(newest, key.signs_from);
    const absl::Duration interval = std::min(Lead() / 2, absl::Duration(kLongestLoadInterval));
    // Later than that only by a clock that was set back.
    if (now < next_load_ && next_load_ <= now + interval) return false;
    next_load_ = now + interval;
  }
  if (may_make && newest + options_.rotation - Lead() <= now) {
    RETURN_IF_ERROR(Add(now + Lead(), newest, now));
  }
  return Reload();
}

const JwtAuthority::Key* JwtAuthority::Signer(absl::Time now) const {
  const Key* signer = nullptr;
  for (const Key& key : keys_) {
    if (key.not_after <= now) continue;
    // Before the first one's time, which a clock that was set back makes, that one signs: it is
    // published.
    if (signer == nullptr || key.signs_from <= now) signer = &key;
  }
  return signer;
}

absl::StatusOr<IssuedJwt> JwtAuthority::Issue(const SpiffeId& id,
                                              const std::vector<std::string>& audience,
                                              absl::optional<absl::Duration> ttl) const {
  if (id.trust_domain() != trust_domain_) {
    return absl::InvalidArgumentError(
        absl::StrCat(id.text(), " is not of the trust domain ", trust_domain_));
  }
  if (ttl.has_value() && *ttl <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a token cannot live ", absl::FormatDuration(*ttl)));
  }
  const absl::Time now = clock_->WallNow();
  std::string key_id;
  std::shared_ptr<const PrivateKey> key;
  IssuedJwt issued;
  {
    absl::MutexLock lock(&mu_);
    const Key* const signer = Signer(now);
    if (signer == nullptr) return absl::UnavailableError("no key can sign tokens now");
    key_id = signer->id;
    key = signer->key;
    // Whole seconds are what a token has; below one it would end before it begins.
    const absl::Duration life = std::max(std::min(ttl.value_or(options_.max_ttl), options_.max_ttl),
                                         absl::Duration(absl::Seconds(1)));
    issued.issued_at = absl::FromUnixSeconds(absl::ToUnixSeconds(now));
    issued.expires_at =
        absl::FromUnixSeconds(absl::ToUnixSeconds(std::min(now + life, signer->not_after)));
  }
  ASSIGN_OR_RETURN(issued.token,
                   SignJwtSvid(id, audience, issued.issued_at, issued.expires_at, key_id, *key));
  return issued;
}

std::vector<JwtKey> JwtAuthority::PublicKeys() const {
  absl::MutexLock lock(&mu_);
  std::vector<JwtKey> keys;
  for (const Key& key : keys_) keys.push_back({key.id, key.public_key, key.not_after});
  return keys;
}

}  // namespace byrnie
