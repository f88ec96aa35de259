// Makes and revokes tokens.

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/grpc/error_details.h"
#include "controlplane/operator/operator_calls.h"
#include "controlplane/operator/operator_views.h"
#include "controlplane/proto/time_conversion.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

absl::StatusOr<absl::optional<absl::Duration>> ReadTtl(bool given,
                                                       const google::protobuf::Duration& ttl) {
  if (!given) return absl::optional<absl::Duration>();
  const absl::StatusOr<absl::Duration> duration = FromProto(ttl);
  if (!duration.ok()) return InvalidField("ttl", duration.status().message());
  return absl::optional<absl::Duration>(*duration);
}

}  // namespace

absl::Status OperatorCalls::CreateJoinToken(OperatorCall* call,
                                            const v1::CreateJoinTokenRequest& request,
                                            v1::CreateJoinTokenResponse* response) const {
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(request.spiffe_id());
  if (!id.ok()) return InvalidField("spiffe_id", id.status().message());
  call->target = id->text();
  // A token for an operator's identity is as good as that operator's role.
  const absl::optional<Role> role = s_.operators->RoleOf(*id);
  if (role.has_value() && !Includes(call->caller.role, *role)) {
    return absl::PermissionDeniedError(absl::StrCat(id->text(), " is one of --operators, ",
                                                    NameOf(*role), "; ", call->caller.name, " is ",
                                                    NameOf(call->caller.role)));
  }
  ASSIGN_OR_RETURN(absl::optional<absl::Duration> ttl, ReadTtl(request.has_ttl(), request.ttl()));
  const absl::Duration life = ttl.value_or(JoinTokens::kDefaultTtl);
  ASSIGN_OR_RETURN(JoinTokens::Created created, s_.tokens->Create(*id, life));
  response->set_token(std::string(created.token.view()));
  response->set_id(created.id);
  ToProto(created.expires_at, response->mutable_expires_at());
  call->detail = absl::StrCat("id ", created.id, ", ttl ", absl::FormatDuration(life));
  s_.events->Add(EventKind::kTokenChanged, id->text(), "join token made", call->caller.name);
  return absl::OkStatus();
}

absl::Status OperatorCalls::RevokeJoinToken(OperatorCall* call,
                                            const v1::RevokeJoinTokenRequest& request,
                                            v1::RevokeJoinTokenResponse* response) const {
  if (request.id().empty()) return InvalidField("id", "is empty");
  // Whoever has the secret alone gives that: it is not for the log.
  const std::string id = JoinTokens::IdOf(request.id());
  call->target = id;
  const absl::StatusOr<std::string> spiffe_id = s_.tokens->Revoke(id);
  if (absl::IsNotFound(spiffe_id.status())) {
    return ResourceNotFound("join token", id,
                            "there is no join token of that id that may still be used");
  }
  RETURN_IF_ERROR(spiffe_id.status());
  response->set_id(id);
  s_.events->Add(EventKind::kTokenChanged, *spiffe_id, "join token revoked", call->caller.name);
  return absl::OkStatus();
}

absl::Status OperatorCalls::CreateOperatorToken(OperatorCall* call,
                                                const v1::CreateOperatorTokenRequest& request,
                                                v1::CreateOperatorTokenResponse* response) const {
  call->target = OperatorDirectory::Harmless(request.name()).substr(0, 64);
  if (!v1::Role_IsValid(request.role()) || request.role() == v1::ROLE_UNSPECIFIED) {
    return InvalidField("role", "give viewer, operator or admin");
  }
  ASSIGN_OR_RETURN(absl::optional<absl::Duration> ttl, ReadTtl(request.has_ttl(), request.ttl()));
  ASSIGN_OR_RETURN(OperatorDirectory::Created created,
                   s_.operators->Create(request.name(), static_cast<Role>(request.role()), ttl,
                                        call->caller.name));
  call->target = created.token.name;
  response->set_token(std::string(created.secret.view()));
  FillOperatorToken(created.token, response->mutable_operator_token());
  call->detail =
      absl::StrCat("role ", NameOf(created.token.role), ", ttl ",
                   absl::FormatDuration(created.token.expires_at - created.token.created_at));
  s_.events->Add(EventKind::kTokenChanged, created.token.name,
                 absl::StrCat("operator token made, role ", NameOf(created.token.role)),
                 call->caller.name);
  return absl::OkStatus();
}

absl::Status OperatorCalls::RevokeOperatorToken(OperatorCall* call,
                                                const v1::RevokeOperatorTokenRequest& request,
                                                v1::RevokeOperatorTokenResponse* response) const {
  if (request.name().empty()) return InvalidField("name", "is empty");
  call->target = OperatorDirectory::Harmless(request.name());
  ASSIGN_OR_RETURN(const std::string name, s_.operators->NameFrom(request.name()));
  if (name != request.name()) call->target = name;
  RETURN_IF_ERROR(s_.operators->Revoke(name));
  call->target = name;
  response->set_name(name);
  s_.events->Add(EventKind::kTokenChanged, name, "operator token revoked", call->caller.name);
  return absl::OkStatus();
}

}  // namespace byrnie
