#include "certagent/issue_call.h"

#include <chrono>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_macros.h"

namespace byrnie {

absl::Status PrepareIssueCall(const ClientIdentityPtr& identity, const TokenFile& token,
                              absl::Time now, absl::Duration patience,
                              grpc::ClientContext* context) {
  context->set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(patience));
  if (identity != nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(SecretBytes text, token.Read(now));
  std::string value = absl::StrCat("Bearer ", text.view());
  context->AddMetadata("authorization", value);
  WipeString(&value);
  return absl::OkStatus();
}

}  // namespace byrnie
