#include "controlplane/seal/key_seal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

constexpr size_t kMaxKeyFile = 1024;

// What the sealed bytes are bound to, beside their record.
std::string Context(absl::string_view record) {
  return absl::StrCat("byrnie store: private key of ", record);
}

// Group members may read it, as a mounted secret's do; nobody else, and nobody but the owner
// writes.
constexpr mode_t kForbidden = 0037;

absl::StatusOr<SecretBytes> ReadKeyFile(const std::string& path) {
  const absl::optional<mode_t> mode = LooseMode(path);
  if (mode.has_value() && (*mode & kForbidden) != 0) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "others may get at %s (mode %04o), so it protects nothing; chmod 600 %s, or give the mount "
        "defaultMode 0400, and replace the key if others may have read it",
        path, *mode, path));
  }
  return ReadSecretFile(path, kMaxKeyFile);
}

absl::StatusOr<SecretBytes> ReadKeyVariable(const std::string& name) {
  char* const value = ::getenv(name.c_str());
  if (value == nullptr) {
    return absl::NotFoundError(absl::StrCat("there is no environment variable ", name));
  }
  const size_t size = ::strlen(value);
  SecretBytes bytes(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(value), size));
  // Where /proc/PID/environ shows it.
  ::explicit_bzero(value, size);
  ::unsetenv(name.c_str());
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> KeySeal::Protect(const SecretBytes& key,
                                             absl::string_view record) const {
  if (key_ == nullptr) return std::string(key.view());
  return key_->Seal(key, Context(record));
}

absl::StatusOr<KeySeal::Opened> KeySeal::Open(absl::string_view stored,
                                              absl::string_view record) const {
  Opened opened;
  if (!SealingKey::IsSealed(stored)) {
    opened.key = SecretBytes(
        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(stored.data()), stored.size()));
    opened.stale = seals();
    return opened;
  }
  if (key_ == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the private key of ", record,
                     " in the store is sealed, and no key was given to open it; "
                     "give --store_key"));
  }
  absl::StatusOr<SecretBytes> key = key_->Open(stored, Context(record));
  if (absl::IsFailedPrecondition(key.status()) && previous_ != nullptr) {
    opened.stale = true;
    key = previous_->Open(stored, Context(record));
  }
  if (!key.ok()) {
    return absl::Status(
        key.status().code(),
        absl::StrCat("the private key of ", record, " in the store is ", key.status().message(),
                     absl::IsFailedPrecondition(key.status())
                         ? "; give the former as --store_key, or as --store_key_previous to "
                           "change keys"
                         : "; restore the store from a backup"));
  }
  opened.key = *std::move(key);
  return opened;
}

absl::StatusOr<std::shared_ptr<const SealingKey>> ReadSealingKey(const std::string& source) {
  if (source.empty()) return std::shared_ptr<const SealingKey>();
  absl::string_view variable = source;
  const bool from_environment = absl::ConsumePrefix(&variable, "env:");
  ASSIGN_OR_RETURN(SecretBytes contents,
                   from_environment ? ReadKeyVariable(std::string(variable)) : ReadKeyFile(source));
  absl::StatusOr<std::shared_ptr<const SealingKey>> key = SealingKey::Parse(contents);
  if (!key.ok()) {
    return absl::Status(key.status().code(),
                        absl::StrCat(source, " holds ", key.status().message()));
  }
  return key;
}

}  // namespace byrnie
