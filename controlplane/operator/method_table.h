#ifndef BYRNIE_CONTROLPLANE_OPERATOR_METHOD_TABLE_H_
#define BYRNIE_CONTROLPLANE_OPERATOR_METHOD_TABLE_H_

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "controlplane/operator/role.h"

namespace byrnie {

// What a method of byrnie.operator.v1 takes.
struct MethodRule {
  // As in the service, "GetStatus".
  absl::string_view method;
  // The least role that may call it.
  Role role;
  // It changes something, so that every call is in the audit log.
  bool mutates;
};

// The one place that says who may do what. A method that is not in it is refused to everybody: a
// test holds it against the service's descriptor.
absl::Span<const MethodRule> MethodTable();

// Null when the method is not in the table.
const MethodRule* FindMethodRule(absl::string_view method);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_METHOD_TABLE_H_
