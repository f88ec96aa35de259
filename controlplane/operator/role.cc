#include "controlplane/operator/role.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace byrnie {

absl::string_view NameOf(Role role) {
  switch (role) {
    case Role::kViewer:
      return "viewer";
    case Role::kOperator:
      return "operator";
    case Role::kAdmin:
      return "admin";
  }
  return "none";
}

absl::StatusOr<Role> ParseRole(absl::string_view text) {
  for (const Role role : {Role::kViewer, Role::kOperator, Role::kAdmin}) {
    if (text == NameOf(role)) return role;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is none of viewer, operator and admin"));
}

}  // namespace byrnie
