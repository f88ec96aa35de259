#include "controlplane/policy/stored_policy.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "byrnie/store/v1/policy.pb.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "controlplane/policy/policy_document.h"
#include "controlplane/proto/time_conversion.h"
#include "controlplane/registry/content_checker.h"

namespace byrnie {
namespace {

using istio::security::Authorization;

absl::StatusOr<JsonObject> ReadObject(const std::string& value) {
  byrnie::store::v1::Policy record;
  if (!record.ParseFromString(value)) return absl::InvalidArgumentError("the record is damaged");
  ASSIGN_OR_RETURN(JsonValue document, JsonValue::Parse(record.document(), kMaxPolicyDocument));
  return document.AsObject();
}

// Takes what the record says of itself, as far as that is understood.
void Narrow(const JsonObject& object, Authorization* stand_in) {
  // Another policy's says nothing about this one.
  if (object.GetStringOr("name", "").value_or("") != stand_in->name() ||
      object.GetStringOr("namespace", "").value_or("") != stand_in->namespace_()) {
    return;
  }
  istio::security::Scope scope;
  if (istio::security::Scope_Parse(object.GetStringOr("scope", "").value_or(""), &scope)) {
    stand_in->set_scope(scope);
  }
  if (object.GetStringOr("action", "").value_or("") == "ALLOW") {
    stand_in->set_action(istio::security::ALLOW);
    stand_in->clear_rules();
  }
  stand_in->set_dry_run(object.GetBoolOr("dry_run", false).value_or(false));
}

}  // namespace

std::string WriteStoredPolicy(const Authorization& policy, absl::string_view who, absl::Time now) {
  byrnie::store::v1::Policy record;
  record.set_document(WritePolicyDocument(policy));
  record.set_applied_by(std::string(who));
  ToProto(now, record.mutable_applied_at());
  return record.SerializeAsString();
}

absl::StatusOr<StoredPolicy> ReadStoredPolicy(absl::string_view key, const std::string& value) {
  byrnie::store::v1::Policy record;
  if (!record.ParseFromString(value)) return absl::InvalidArgumentError("the record is damaged");
  ASSIGN_OR_RETURN(Authorization policy, ParsePolicyDocument(record.document()));
  if (PolicyKey(policy) != key) {
    return absl::InvalidArgumentError("the record is of another policy");
  }
  return StoredPolicy{std::move(policy), record.applied_by(), FromProto(record.applied_at())};
}

absl::optional<Authorization> StandInFor(absl::string_view key, const std::string& value) {
  const std::vector<std::string> parts = absl::StrSplit(key, '/');
  if (parts.size() != 2) return absl::nullopt;
  Authorization stand_in;
  stand_in.set_namespace_(parts[0]);
  stand_in.set_name(parts[1]);
  stand_in.set_scope(istio::security::GLOBAL);
  stand_in.set_action(istio::security::DENY);
  // One that matches every connection.
  stand_in.add_rules()->add_clauses();
  const absl::StatusOr<JsonObject> object = ReadObject(value);
  if (object.ok()) Narrow(*object, &stand_in);
  if (!CheckPolicy(stand_in).ok()) return absl::nullopt;
  return stand_in;
}

std::string DescribeStandIn(const Authorization& stand_in) {
  if (stand_in.dry_run()) return "a policy that is tried out and denies nothing";
  std::string pods = "of the whole mesh";
  if (stand_in.scope() == istio::security::NAMESPACE) {
    pods = absl::StrCat("of namespace ", stand_in.namespace_());
  } else if (stand_in.scope() == istio::security::WORKLOAD_SELECTOR) {
    pods = "that name it";
  }
  return absl::StrCat("a policy that ",
                      stand_in.action() == istio::security::ALLOW
                          ? "allows nothing, so that only other policies let anybody in,"
                          : "denies every connection",
                      " to the pods ", pods);
}

}  // namespace byrnie
