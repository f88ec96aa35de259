#include "ctl/install/installer.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_macros.h"
#include "ctl/install/install_settings.h"
#include "ctl/install/installed_settings.h"
#include "ctl/install/manifests.h"
#include "deploy/injector/json_diff.h"
#include "deploy/injector/pull_secrets.h"
#include "openssl/rand.h"

namespace byrnie {
namespace {

constexpr absl::string_view kManager = "fieldManager=byrniectl";
// Says that install made the namespace, so that it may go with the rest.
constexpr char kCreatedBy[] = "byrnie.io/created-by";
constexpr size_t kMaxDetails = 20;
constexpr size_t kMaxDetail = 120;

// What says nothing of what somebody wants.
Json Essence(const Json& object) {
  Json essence = object;
  Remove(&essence, "status");
  Json* const metadata = ObjectIn(&essence, "metadata");
  for (const absl::string_view name :
       {"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"}) {
    Remove(metadata, name);
  }
  return essence;
}

std::string Shown(const Json* value) {
  if (value == nullptr) return "nothing";
  const std::string text = ToText(*value);
  return text.size() <= kMaxDetail ? text : absl::StrCat(text.substr(0, kMaxDetail), "...");
}

const Json* At(const Json& value, const std::vector<std::string>& path) {
  const Json* found = &value;
  for (const std::string& step : path) {
    if (found == nullptr) return nullptr;
    if (found->is_array()) {
      size_t index = 0;
      if (!absl::SimpleAtoi(step, &index) || index >= found->size()) return nullptr;
      found = &(*found)[index];
    } else {
      found = Find(*found, step);
    }
  }
  return found;
}

// "spec/replicas: 1 -> 3".
std::vector<std::string> Differences(const Json& from, const Json& to) {
  std::vector<std::string> lines;
  for (const JsonEdit& edit : DiffJson(from, to)) {
    if (lines.size() == kMaxDetails) {
      lines.emplace_back("and more");
      break;
    }
    const Json* const before = edit.kind == JsonEdit::Kind::kAdd ? nullptr : At(from, edit.path);
    const Json* const after = edit.kind == JsonEdit::Kind::kRemove ? nullptr : &edit.value;
    lines.push_back(
        absl::StrCat(absl::StrJoin(edit.path, "/"), ": ", Shown(before), " -> ", Shown(after)));
  }
  return lines;
}

// The Secrets of volumes and of pulling of the pods that an object makes.
std::vector<std::string> SecretsOf(const Json& object) {
  std::vector<std::string> names;
  const Json* const pod = FindPath(object, {"spec", "template", "spec"});
  if (pod == nullptr) return names;
  for (const Json& volume : ItemsOf(*pod, "volumes")) {
    const Json* const secret = Find(volume, "secret");
    if (secret != nullptr && !IsTrue(*secret, "optional")) {
      names.push_back(TextOf(*secret, "secretName"));
    }
  }
  for (const Json& secret : ItemsOf(*pod, kPullSecrets)) names.push_back(TextOf(secret, "name"));
  return names;
}

std::string SecretPath(const std::string& ns, const std::string& name) {
  return absl::StrCat("/api/v1/namespaces/", EncodeQuery(ns), "/secrets/", EncodeQuery(name));
}

absl::Status Explain(const Json& object, const absl::Status& status) {
  std::string remedy;
  if (absl::IsAlreadyExists(status)) {
    remedy = "; somebody else has set it another way: --force takes it over";
  } else if (absl::IsInvalidArgument(status) && TextOf(object, "kind") == "StatefulSet") {
    remedy =
        "; where it is a field that cannot be changed, as with another --overlay, take this one "
        "away first (byrniectl uninstall)";
  }
  return absl::Status(status.code(),
                      absl::StrCat(DescribeObject(object), ": ", status.message(), remedy));
}

// Whether an object is of a kind that one of `objects` defines.
bool IsDefinedAmong(const std::vector<Json>& objects, const Json& object) {
  return std::any_of(objects.begin(), objects.end(), [&object](const Json& other) {
    const Json* const kind = FindPath(other, {"spec", "names", "kind"});
    const Json* const group = FindPath(other, {"spec", "group"});
    return TextOf(other, "kind") == "CustomResourceDefinition" && kind != nullptr &&
           group != nullptr && *kind == TextOf(object, "kind") && group->is_string() &&
           absl::StartsWith(TextOf(object, "apiVersion"),
                            absl::StrCat(group->get_ref<const std::string&>(), "/"));
  });
}

// Whether a trial says nothing of what would become of the object in earnest.
bool CannotBeTried(const Json& object, const absl::Status& status) {
  // Its role is to be made before it.
  if (absl::IsNotFound(status) && absl::EndsWith(TextOf(object, "kind"), "Binding")) return true;
  // A webhook that has effects of its own is not asked.
  return absl::IsInvalidArgument(status) &&
         absl::StrContains(status.message(), "does not support dry run");
}

// When whoever has written the image before beside the injector's configuration did so last.
absl::Time PreviousImageSince(const Json& config_map) {
  absl::Time since = absl::InfinitePast();
  const Json* const metadata = Find(config_map, "metadata");
  if (metadata == nullptr) return since;
  const std::string field = absl::StrCat("f:", kPreviousImageKey);
  for (const Json& manager : ItemsOf(*metadata, "managedFields")) {
    absl::Time time;
    if (FindPath(manager, {"fieldsV1", "f:data", field}) != nullptr &&
        absl::ParseTime(absl::RFC3339_full, TextOf(manager, "time"), &time, nullptr)) {
      since = std::max(since, time);
    }
  }
  return since;
}

bool HasSeveralControlPlanes(const std::vector<Json>& objects) {
  return std::any_of(objects.begin(), objects.end(), [](const Json& object) {
    const Json* const replicas = FindPath(object, {"spec", "replicas"});
    return TextOf(object, "kind") == "StatefulSet" && replicas != nullptr &&
           replicas->is_number() && *replicas > 1;
  });
}

absl::Status WithoutChange(const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(status.message(), "; nothing has been changed"));
}

}  // namespace

InstallStep StepFor(const Json& object, InstallStep::Outcome outcome) {
  InstallStep step;
  step.outcome = outcome;
  step.kind = TextOf(object, "kind");
  step.ns = NamespaceOf(object);
  step.name = ObjectNameOf(object);
  return step;
}

std::string OutcomeName(InstallStep::Outcome outcome, bool dry_run) {
  const std::string would = dry_run ? "would be " : "";
  switch (outcome) {
    case InstallStep::Outcome::kCreated:
      return would + "created";
    case InstallStep::Outcome::kChanged:
      return would + "changed";
    case InstallStep::Outcome::kUnchanged:
      return "unchanged";
    case InstallStep::Outcome::kDeleted:
      return would + "deleted";
    case InstallStep::Outcome::kKept:
      return would + "kept";
  }
  return "unknown";
}

absl::StatusOr<ResourceType> TypeOf(ResourceTypes* types, Json* object) {
  const std::string version = TextOf(*object, "apiVersion"), kind = TextOf(*object, "kind");
  absl::StatusOr<ResourceType> type = types->Find(version, kind);
  if (type.ok() || !absl::IsNotFound(type.status())) return type;
  // Before 1.21 it had this version alone, with the same fields.
  if (version != "policy/v1" || kind != "PodDisruptionBudget") return type;
  absl::StatusOr<ResourceType> older = types->Find("policy/v1beta1", kind);
  if (!older.ok()) return type;
  (*object)["apiVersion"] = "policy/v1beta1";
  return older;
}

void Installer::Tell(InstallStep step) {
  changed_ = changed_ || step.outcome == InstallStep::Outcome::kCreated ||
             step.outcome == InstallStep::Outcome::kChanged ||
             step.outcome == InstallStep::Outcome::kDeleted;
  tell_(step);
}

absl::Status Installer::Run(const std::string& ns, std::vector<Json> objects,
                            std::vector<Json> known) {
  objects_ = std::move(objects);
  known_ = std::move(known);
  const absl::StatusOr<Json> found =
      GetObject(cluster_, absl::StrCat("/api/v1/namespaces/", EncodeQuery(ns)));
  if (!found.ok() && !absl::IsNotFound(found.status())) return found.status();
  namespace_missing_ = !found.ok();
  if (found.ok() && FindPath(*found, {"metadata", "deletionTimestamp"}) != nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the namespace ", ns, " is being deleted; wait until it is gone"));
  }
  const bool ours = !found.ok() || FindPath(*found, {"metadata", "annotations", kCreatedBy});
  RETURN_IF_ERROR(CheckNamespace(ns, objects_));
  RETURN_IF_ERROR(CheckSecrets(objects_));
  several_control_planes_ = HasSeveralControlPlanes(objects_);
  for (Json& object : objects_) {
    if (TextOf(object, "kind") != "Namespace" || !ours) continue;
    (*ObjectIn(ObjectIn(&object, "metadata"), "annotations"))[kCreatedBy] = "byrniectl";
  }
  if (!options_.dry_run) RETURN_IF_ERROR(Try(ns, objects_));
  bool key = false;
  for (const Json& object : objects_) {
    const bool is_namespace = TextOf(object, "kind") == "Namespace";
    // The namespace is there by then, and no pod yet.
    if (!is_namespace && !std::exchange(key, true)) RETURN_IF_ERROR(MakeStoreKey(ns));
    ASSIGN_OR_RETURN(const bool last, IsLast(object));
    if (last) {
      held_back_ = object;
    } else {
      RETURN_IF_ERROR(Apply(object));
    }
  }
  return absl::OkStatus();
}

absl::Status Installer::Finish() {
  if (held_back_.has_value()) {
    Json object = *held_back_;
    if (!previous_image_.empty()) {
      (*ObjectIn(&object, "data"))[std::string(kPreviousImageKey)] = previous_image_;
    }
    RETURN_IF_ERROR(Apply(std::move(object)));
  }
  return Prune();
}

absl::Status Installer::ForgetPreviousImage() {
  if (!held_back_.has_value() || previous_image_.empty()) return absl::OkStatus();
  if (several_control_planes_ && options_.now - previous_image_since_ < kKubeletsBringIt) {
    return absl::OkStatus();
  }
  Json object = *held_back_;
  ASSIGN_OR_RETURN(const ResourceType type, TypeOf(types_, &object));
  // To apply it without would leave what kubectl, too, has written.
  ApiRequest request;
  request.method = "PATCH";
  request.target =
      absl::StrCat(type.Path(NamespaceOf(object), ObjectNameOf(object)), "?", kManager);
  request.content_type = "application/merge-patch+json";
  request.body = absl::StrCat(R"({"data":{")", kPreviousImageKey, R"(":null}})");
  const absl::StatusOr<Json> made = CallForObject(cluster_, std::move(request));
  if (!made.ok()) return Explain(object, made.status());
  const Json* const data = Find(*made, "data");
  previous_image_ = data == nullptr ? "" : TextOf(*data, kPreviousImageKey);
  return absl::OkStatus();
}

absl::Status Installer::Try(const std::string& ns, const std::vector<Json>& objects) {
  RETURN_IF_ERROR(TryStoreKey(ns));
  for (Json object : objects) {
    // Also not asked for: it would be remembered as not there.
    if (IsDefinedAmong(objects, object)) continue;
    const absl::StatusOr<ResourceType> type = TypeOf(types_, &object);
    if (!type.ok()) return WithoutChange(Explain(object, type.status()));
    if (namespace_missing_ && type->namespaced) continue;
    const absl::Status tried = Patch(*type, object, /*dry_run=*/true).status();
    if (tried.ok() || CannotBeTried(object, tried)) continue;
    return WithoutChange(Explain(object, tried));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Installer::IsLast(Json object) {
  if (!IsInjectorConfig(object)) return false;
  ASSIGN_OR_RETURN(const ResourceType type, TypeOf(types_, &object));
  const absl::StatusOr<Json> found =
      GetObject(cluster_, type.Path(NamespaceOf(object), ObjectNameOf(object)));
  // The first control plane has it mounted.
  if (absl::IsNotFound(found.status())) return false;
  if (!found.ok()) return Explain(object, found.status());
  const Json* const data = Find(*found, "data");
  // One that does not start with it is not to be waited for.
  if (data == nullptr || !CheckInstalledInjectorConfig(TextOf(*data, kInjectorKey)).ok()) {
    return false;
  }
  const std::string before = SidecarsImageIn(*found);
  if (before != SidecarsImageIn(object)) {
    previous_image_ = before;
    previous_image_since_ = options_.now;
  } else {
    // The installation before may have been a moment ago, and nobody has seen what pods get.
    previous_image_ = TextOf(*data, kPreviousImageKey);
    previous_image_since_ = PreviousImageSince(*found);
  }
  return true;
}

// Roles and the webhook have no namespace: there is one of each.
absl::Status Installer::CheckNamespace(const std::string& ns, const std::vector<Json>& objects) {
  for (Json object : objects) {
    if (TextOf(object, "kind") != "ClusterRoleBinding") continue;
    ASSIGN_OR_RETURN(const ResourceType type, TypeOf(types_, &object));
    const absl::StatusOr<Json> found = GetObject(cluster_, type.Path("", ObjectNameOf(object)));
    if (absl::IsNotFound(found.status())) continue;
    RETURN_IF_ERROR(found.status());
    for (const Json& subject : ItemsOf(*found, "subjects")) {
      const std::string other = TextOf(subject, "namespace");
      if (other.empty() || other == ns) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("Byrnie is installed in the namespace ", other,
                       ", and there can be one in a cluster; "
                       "give --namespace=",
                       other, ", or take that one away first (byrniectl uninstall)"));
    }
  }
  return absl::OkStatus();
}

absl::Status Installer::CheckSecrets(const std::vector<Json>& objects) {
  for (const Json& object : objects) {
    for (const std::string& name : SecretsOf(object)) {
      if (name == kStoreKeySecret) continue;
      const std::string ns = NamespaceOf(object);
      const absl::StatusOr<Json> secret = GetObject(cluster_, SecretPath(ns, name));
      if (secret.ok()) continue;
      if (!absl::IsNotFound(secret.status())) return secret.status();
      return absl::FailedPreconditionError(
          absl::StrCat("the Secret ", ns, "/", name, " is missing, and ", DescribeObject(object),
                       " needs it; make it first", namespace_missing_ ? ", with its namespace" : "",
                       ": see \"A control plane in the cluster\" and \"A private registry\" in "
                       "docs/kubernetes.md"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Json> Installer::Patch(const ResourceType& type, const Json& object, bool dry_run) {
  ApiRequest request;
  request.method = "PATCH";
  request.target = absl::StrCat(type.Path(NamespaceOf(object), ObjectNameOf(object)), "?", kManager,
                                options_.force ? "&force=true" : "", dry_run ? "&dryRun=All" : "");
  request.content_type = "application/apply-patch+yaml";
  request.body = ToText(object);
  return CallForObject(cluster_, std::move(request));
}

absl::Status Installer::Apply(Json object) {
  const absl::StatusOr<ResourceType> type = TypeOf(types_, &object);
  if (!type.ok()) return Explain(object, type.status());
  const std::string path = type->Path(NamespaceOf(object), ObjectNameOf(object));
  const absl::StatusOr<Json> before = GetObject(cluster_, path);
  if (!before.ok() && !absl::IsNotFound(before.status())) return Explain(object, before.status());
  if (options_.dry_run && namespace_missing_ && type->namespaced) {
    Tell(StepFor(object, InstallStep::Outcome::kCreated));
    return absl::OkStatus();
  }
  const absl::StatusOr<Json> after = Patch(*type, object, options_.dry_run);
  if (!after.ok()) return Explain(object, after.status());
  InstallStep step = StepFor(object, InstallStep::Outcome::kCreated);
  if (before.ok()) {
    step.details = Differences(Essence(*before), Essence(*after));
    step.outcome =
        step.details.empty() ? InstallStep::Outcome::kUnchanged : InstallStep::Outcome::kChanged;
  }
  Tell(std::move(step));
  return absl::OkStatus();
}

Json Installer::StoreKey(const std::string& ns) const {
  Json secret = Json::object();
  secret["apiVersion"] = "v1";
  secret["kind"] = "Secret";
  Json* const metadata = ObjectIn(&secret, "metadata");
  (*metadata)["name"] = std::string(kStoreKeySecret);
  (*metadata)["namespace"] = ns;
  LabelAsInstalled(&secret);
  if (!options_.trust_domain.empty()) {
    (*ObjectIn(metadata, "annotations"))[kTrustDomainAnnotation] = options_.trust_domain;
  }
  return secret;
}

// Without a key in it.
absl::Status Installer::TryStoreKey(const std::string& ns) {
  if (namespace_missing_) return absl::OkStatus();
  const Json secret = StoreKey(ns);
  absl::Status status = GetObject(cluster_, SecretPath(ns, std::string(kStoreKeySecret))).status();
  if (absl::IsNotFound(status)) {
    ApiRequest request;
    request.method = "POST";
    request.target =
        absl::StrCat("/api/v1/namespaces/", EncodeQuery(ns), "/secrets?", kManager, "&dryRun=All");
    request.body = ToText(secret);
    status = CallForObject(cluster_, std::move(request)).status();
  }
  if (status.ok() || CannotBeTried(secret, status)) return absl::OkStatus();
  return WithoutChange(Explain(secret, status));
}

absl::Status Installer::MakeStoreKey(const std::string& ns) {
  const Json secret = StoreKey(ns);
  // Another one would make what is stored unreadable: it is never changed.
  const absl::StatusOr<Json> found =
      GetObject(cluster_, SecretPath(ns, std::string(kStoreKeySecret)));
  if (found.ok()) {
    Tell(StepFor(secret, InstallStep::Outcome::kUnchanged));
    return absl::OkStatus();
  }
  if (!absl::IsNotFound(found.status())) return Explain(secret, found.status());
  if (!options_.dry_run) {
    SecretBytes key(32);
    RAND_bytes(key.mutable_span().data(), key.size());
    // Base64 is what the control plane reads, and once more what the API has.
    std::string text = absl::Base64Escape(key.view());
    std::string data = absl::Base64Escape(text);
    ApiRequest request;
    request.method = "POST";
    request.target = absl::StrCat("/api/v1/namespaces/", EncodeQuery(ns), "/secrets?", kManager);
    request.body = ToText(secret);
    request.body.insert(request.body.size() - 1, absl::StrCat(R"(,"data":{"key":")", data, "\"}"));
    const absl::StatusOr<Json> made = CallForObject(cluster_, std::move(request));
    WipeString(&text);
    WipeString(&data);
    if (!made.ok()) return Explain(secret, made.status());
  }
  Tell(StepFor(secret, InstallStep::Outcome::kCreated));
  return absl::OkStatus();
}

absl::Status Installer::Prune() {
  using Key = std::tuple<std::string, std::string, std::string>;
  std::set<Key> wanted;
  std::set<std::string> paths;
  for (const Json& object : objects_) {
    wanted.insert({TextOf(object, "kind"), NamespaceOf(object), ObjectNameOf(object)});
  }
  for (Json object : known_) {
    const std::string kind = TextOf(object, "kind");
    // What is in them would go, too.
    if (kind == "Namespace" || kind == "CustomResourceDefinition") continue;
    const absl::StatusOr<ResourceType> type = TypeOf(types_, &object);
    if (absl::IsNotFound(type.status())) continue;
    RETURN_IF_ERROR(type.status());
    if (!paths.insert(type->ListPath()).second) continue;
    ASSIGN_OR_RETURN(const std::vector<Json> found,
                     ListObjects(cluster_, type->ListPath(),
                                 absl::StrCat("labelSelector=", EncodeQuery(kInstallSelector))));
    for (Json item : found) {
      item["kind"] = kind;
      if (wanted.count({kind, NamespaceOf(item), ObjectNameOf(item)}) != 0) continue;
      if (!options_.dry_run) {
        ApiRequest request;
        request.method = "DELETE";
        request.target = type->Path(NamespaceOf(item), ObjectNameOf(item));
        const absl::Status gone = CallForObject(cluster_, std::move(request)).status();
        if (!gone.ok() && !absl::IsNotFound(gone)) return Explain(item, gone);
      }
      Tell(StepFor(item, InstallStep::Outcome::kDeleted));
    }
  }
  return absl::OkStatus();
}

}  // namespace byrnie
