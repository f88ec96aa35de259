#include "controlplane/operator/operator_directory.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "byrnie/store/v1/operator_account.pb.h"
#include "common/base/retry_after.h"
#include "common/base/status_macros.h"
#include "common/crypto/token/bearer_token.h"
#include "common/grpc/error_details.h"
#include "controlplane/ca/authority.h"
#include "controlplane/proto/time_conversion.h"

namespace byrnie {
namespace {

constexpr size_t kMaxName = 63;

absl::Status Unknown() {
  return absl::UnauthenticatedError("the operator token is unknown, revoked or expired");
}

absl::Status SecretAsName(absl::string_view owner) {
  return InvalidField("name", absl::StrCat("is the secret of the token of ", owner,
                                           "; give the name of who gets the new one"));
}

absl::Status CheckName(absl::string_view name) {
  bool valid = !name.empty() && name.size() <= kMaxName;
  for (const char c : name) {
    valid = valid && (absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                      absl::string_view(".-_@").find(c) != absl::string_view::npos);
  }
  if (!valid) {
    return InvalidField("name", "give 1 to 63 letters, digits, '.', '-', '_' or '@'");
  }
  if (name == OperatorDirectory::kFirstToken) {
    return InvalidField("name",
                        absl::StrCat(name, " is that of --operator_token_out; give another"));
  }
  return absl::OkStatus();
}

}  // namespace

struct OperatorDirectory::Stored {
  Token token;
  std::string hash;
  int64_t version = 0;
};

namespace {

std::string WriteAccount(const OperatorDirectory::Token& token, const std::string& hash) {
  byrnie::store::v1::OperatorAccount account;
  account.set_role(std::string(NameOf(token.role)));
  account.set_token_hash(hash);
  account.set_created_by(token.created_by);
  ToProto(token.created_at, account.mutable_created_at());
  ToProto(token.expires_at, account.mutable_expires_at());
  return account.SerializeAsString();
}

// False for one that opens nothing.
bool ReadAccount(const RecordTable::Record& record, OperatorDirectory::Token* token,
                 std::string* hash) {
  byrnie::store::v1::OperatorAccount account;
  if (!account.ParseFromString(record.value) || !account.has_expires_at()) return false;
  const absl::StatusOr<Role> role = ParseRole(account.role());
  if (!role.ok()) return false;
  *token =
      OperatorDirectory::Token{record.key, *role, account.created_by(),
                               FromProto(account.created_at()), FromProto(account.expires_at())};
  *hash = account.token_hash();
  return true;
}

}  // namespace

absl::StatusOr<OperatorIdentities> ParseOperatorIdentities(absl::string_view text,
                                                           absl::string_view trust_domain) {
  OperatorIdentities identities;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const size_t equals = part.rfind('=');
    if (equals == part.npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", part, "\" is not SPIFFE_ID=ROLE; give for example spiffe://",
                       trust_domain, "/ns/ops/sa/alice=viewer"));
    }
    ASSIGN_OR_RETURN(SpiffeId id, SpiffeId::Parse(part.substr(0, equals)));
    ASSIGN_OR_RETURN(Role role, ParseRole(part.substr(equals + 1)));
    if (id.trust_domain() != trust_domain) {
      return absl::InvalidArgumentError(
          absl::StrCat(id.text(), " is not of the trust domain ", trust_domain));
    }
    if (IsReservedPath(id.path())) {
      return absl::InvalidArgumentError(
          absl::StrCat(id.text(), " is reserved for the mesh itself"));
    }
    if (!identities.emplace(id.text(), role).second) {
      return absl::InvalidArgumentError(absl::StrCat(id.text(), " is there twice; remove one"));
    }
  }
  return identities;
}

OperatorDirectory::OperatorDirectory(std::string first_hash, OperatorIdentities identities,
                                     RecordTable* tokens, const Clock* clock)
    : first_hash_(std::move(first_hash)),
      identities_(std::move(identities)),
      tokens_(tokens),
      clock_(clock) {}

absl::StatusOr<std::vector<OperatorDirectory::Stored>> OperatorDirectory::Load() const {
  ASSIGN_OR_RETURN(std::vector<RecordTable::Record> records, tokens_->List());
  std::vector<Stored> stored;
  for (const RecordTable::Record& record : records) {
    Stored entry;
    entry.version = record.version;
    // One that is not understood, of a newer release, say, is nobody's reason to be kept out.
    if (ReadAccount(record, &entry.token, &entry.hash)) stored.push_back(std::move(entry));
  }
  absl::flat_hash_set<std::string> known;
  for (const Stored& entry : stored) known.insert(entry.hash);
  absl::MutexLock lock(&mu_);
  known_ = std::move(known);
  return stored;
}

absl::StatusOr<std::vector<OperatorDirectory::Stored>> OperatorDirectory::LoadFor(
    const std::string& hash) const {
  // A known one is looked up as well, because it may have been revoked.
  bool known;
  {
    absl::MutexLock lock(&mu_);
    known = known_.has_value() && known_->contains(hash);
    if (!known && reading_for_stranger_) {
      if (known_.has_value()) return Unknown();
      absl::Status unread =
          absl::UnavailableError("the operator tokens are still being read; try again");
      SetRetryAfter(&unread, absl::Seconds(1));
      return unread;
    }
    if (!known) reading_for_stranger_ = true;
  }
  absl::StatusOr<std::vector<Stored>> all = Load();
  if (!known) {
    absl::MutexLock lock(&mu_);
    reading_for_stranger_ = false;
  }
  return all;
}

bool OperatorDirectory::IsFirst(const std::string& hash) const {
  absl::MutexLock lock(&mu_);
  return !first_hash_.empty() && TokenHashesEqual(hash, first_hash_);
}

void OperatorDirectory::SetFirstHash(std::string hash) {
  absl::MutexLock lock(&mu_);
  first_hash_ = std::move(hash);
}

absl::StatusOr<Caller> OperatorDirectory::ByToken(absl::string_view token) const {
  // A longer one is none of ours; it is not even hashed.
  constexpr size_t kMaxCredential = 1024;
  if (token.empty() || token.size() > kMaxCredential) return Unknown();
  // Both sides are hashes: neither the token's bytes nor its length shows in the time this takes.
  const std::string hash = HashBearerToken(token);
  Caller caller;
  caller.proof = Caller::Proof::kToken;
  caller.token_hash = hash;
  if (IsFirst(hash)) {
    caller.name = kFirstToken;
    caller.role = Role::kAdmin;
    return caller;
  }
  ASSIGN_OR_RETURN(std::vector<Stored> all, LoadFor(hash));
  for (const Stored& stored : all) {
    if (TokenHashesEqual(hash, stored.hash) && clock_->WallNow() < stored.token.expires_at) {
      caller.name = stored.token.name;
      caller.role = stored.token.role;
      return caller;
    }
  }
  return Unknown();
}

absl::optional<Role> OperatorDirectory::RoleOf(const SpiffeId& id) const {
  const auto found = identities_.find(id.text());
  if (found == identities_.end()) return absl::nullopt;
  return found->second;
}

absl::StatusOr<Caller> OperatorDirectory::ByIdentity(const SpiffeId& id) const {
  const absl::optional<Role> role = RoleOf(id);
  if (!role.has_value()) {
    return absl::PermissionDeniedError(absl::StrCat(
        id.text(),
        " is no operator; give a token, or start the control plane with it in --operators"));
  }
  return Caller{id.text(), *role, Caller::Proof::kCertificate};
}

std::vector<bool> OperatorDirectory::AreStillValid(const std::vector<Caller>& callers) const {
  const absl::Time now = clock_->WallNow();
  std::string first_hash;
  {
    absl::MutexLock lock(&mu_);
    first_hash = first_hash_;
  }
  absl::optional<absl::StatusOr<std::vector<Stored>>> all;
  const auto is_recorded = [&](const Caller& caller) {
    if (!all.has_value()) all = Load();
    if (!all->ok()) return true;
    for (const Stored& stored : **all) {
      if (stored.token.name != caller.name) continue;
      return TokenHashesEqual(stored.hash, caller.token_hash) && stored.token.role == caller.role &&
             now < stored.token.expires_at;
    }
    return false;
  };
  std::vector<bool> valid;
  for (const Caller& caller : callers) {
    if (caller.valid_until <= now) {
      valid.push_back(false);
    } else if (caller.proof == Caller::Proof::kCertificate) {
      valid.push_back(true);
    } else if (caller.name == kFirstToken) {
      valid.push_back(!first_hash.empty() && TokenHashesEqual(first_hash, caller.token_hash));
    } else {
      valid.push_back(is_recorded(caller));
    }
  }
  return valid;
}

absl::StatusOr<OperatorDirectory::Created> OperatorDirectory::Create(
    const std::string& name, Role role, absl::optional<absl::Duration> ttl,
    const std::string& creator) {
  RETURN_IF_ERROR(CheckName(name));
  const absl::Duration life = ttl.value_or(kDefaultTtl);
  if (life <= absl::ZeroDuration() || life > kMaxTtl) {
    return InvalidField("ttl", absl::StrCat(absl::FormatDuration(life),
                                            " is not more than 0 and at most 366 days"));
  }
  const absl::Time now = clock_->WallNow();
  // A secret that is given by a slip becomes no name: names are in logs.
  const std::string name_hash = HashBearerToken(name);
  if (IsFirst(name_hash)) return SecretAsName(kFirstToken);
  ASSIGN_OR_RETURN(std::vector<Stored> all, Load());
  for (const Stored& stored : all) {
    if (TokenHashesEqual(name_hash, stored.hash)) return SecretAsName(stored.token.name);
  }
  // One that has expired makes room, also for one of its name.
  absl::optional<int64_t> expected = RecordTable::kNone;
  size_t live = 0;
  for (const Stored& stored : all) {
    const bool expired = stored.token.expires_at <= now;
    if (!expired) ++live;
    if (stored.token.name == name) {
      if (!expired) {
        return absl::AlreadyExistsError(
            absl::StrCat("there is a token \"", name, "\"; revoke it, or give another name"));
      }
      expected = stored.version;
    } else if (expired) {
      (void)tokens_->Delete(stored.token.name, stored.version);
    }
  }
  if (live >= kMaxTokens) {
    return absl::ResourceExhaustedError(
        absl::StrCat("there are ", live, " operator tokens; revoke some"));
  }
  Created created{GenerateBearerToken(), Token{name, role, creator, now, now + life}};
  const absl::StatusOr<int64_t> written = tokens_->Put(
      name, WriteAccount(created.token, HashBearerToken(created.secret.view())), expected);
  if (absl::IsAborted(written.status())) {
    return absl::AlreadyExistsError(absl::StrCat("there is a token \"", name, "\" by now"));
  }
  RETURN_IF_ERROR(written.status());
  absl::MutexLock lock(&mu_);
  if (known_.has_value()) known_->insert(HashBearerToken(created.secret.view()));
  return created;
}

absl::StatusOr<std::vector<OperatorDirectory::Token>> OperatorDirectory::List() const {
  ASSIGN_OR_RETURN(std::vector<Stored> all, Load());
  std::vector<Token> tokens;
  for (Stored& stored : all) {
    if (clock_->WallNow() < stored.token.expires_at) tokens.push_back(std::move(stored.token));
  }
  return tokens;
}

absl::StatusOr<std::string> OperatorDirectory::NameFrom(const std::string& name_or_secret) const {
  const std::string hash = HashBearerToken(name_or_secret);
  if (IsFirst(hash)) return std::string(kFirstToken);
  ASSIGN_OR_RETURN(std::vector<Stored> all, Load());
  for (const Stored& stored : all) {
    if (TokenHashesEqual(hash, stored.hash)) return stored.token.name;
  }
  return name_or_secret;
}

std::string OperatorDirectory::Harmless(const std::string& name) {
  // A token, an operator's or another, is longer than anybody calls himself.
  constexpr size_t kShorterThanTokens = 43;
  if (name.size() < kShorterThanTokens) return name;
  return absl::StrCat("sha256:", absl::BytesToHexString(HashBearerToken(name)));
}

absl::Status OperatorDirectory::Revoke(const std::string& name) {
  if (name == kFirstToken) {
    return PreconditionFailed(
        "CONFLICT", name,
        "the token of --operator_token_out is replaced by removing that file and starting again");
  }
  const absl::Status deleted = tokens_->Delete(name, absl::nullopt);
  if (!absl::IsNotFound(deleted)) return deleted;
  const std::string harmless = Harmless(name);
  return ResourceNotFound("operator token", harmless,
                          absl::StrCat("there is no operator token \"", harmless, "\""));
}

}  // namespace byrnie
