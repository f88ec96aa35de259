#include "controlplane/operator/operator_token.h"

#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/base/file.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_macros.h"
#include "common/crypto/token/bearer_token.h"
#include "controlplane/records/operator_token_record.h"

namespace byrnie {
namespace {

constexpr size_t kMaxTokenFile = 4096;

// What is wrong with the file, for whoever named it.
absl::Status Unusable(const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("--operator_token_out: ", status.message(),
                                                  "; give a file that uid ", ::geteuid(),
                                                  " may make, read and replace"));
}

}  // namespace

absl::StatusOr<std::string> PrepareOperatorToken(const std::string& path, Store* store,
                                                 Logger* logger) {
  ASSIGN_OR_RETURN(absl::optional<std::string> stored, LoadOperatorTokenHash(store));
  if (path.empty()) return stored.value_or("");
  // Each would hold a token, if one that was never put in force.
  RemoveLeftTemporaries(path);

  absl::StatusOr<SecretBytes> file = ReadSecretFile(path, kMaxTokenFile);
  if (file.ok() && stored.has_value() &&
      TokenHashesEqual(HashBearerToken(absl::StripAsciiWhitespace(file->view())), *stored)) {
    return *stored;
  }
  if (!file.ok() && !absl::IsNotFound(file.status())) return Unusable(file.status());

  // The file first: a crash in between leaves a token that is not yet known, and the next start
  // makes another.
  const SecretBytes token = GenerateBearerToken();
  SecretBytes line(token.size() + 1);
  for (size_t i = 0; i < token.size(); ++i) line.mutable_span()[i] = token.span()[i];
  line.mutable_span()[token.size()] = '\n';
  const absl::Status written = WriteFileAtomically(path, line.view(), 0600);
  if (!written.ok()) return Unusable(written);
  const std::string hash = HashBearerToken(token.view());
  RETURN_IF_ERROR(SetOperatorTokenHash(store, hash));
  logger->Info(stored.has_value() ? "operator token replaced" : "operator token made",
               {{"path", path}});
  return hash;
}

}  // namespace byrnie
