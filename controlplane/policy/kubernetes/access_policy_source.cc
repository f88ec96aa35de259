#include "controlplane/policy/kubernetes/access_policy_source.h"

#include <algorithm>
#include <set>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "controlplane/policy/known_mesh.h"
#include "controlplane/policy/mesh_look.h"
#include "controlplane/policy/policy_document.h"
#include "controlplane/policy/policy_findings.h"
#include "controlplane/registry/resource_list.h"

namespace byrnie {
namespace {

constexpr RegistrySource kSource = RegistrySource::kKubernetes;
// Of a condition's message; a server takes 32 KiB.
constexpr size_t kMaxMessage = 1024;

std::string KeyOf(const ObjectName& name) { return absl::StrCat(name.ns, "/", name.name); }

bool SelectsPods(const istio::security::Authorization& policy) {
  return policy.scope() == istio::security::WORKLOAD_SELECTOR;
}
bool SelectsPods(const Resource& resource) {
  istio::security::Authorization policy;
  return policy.ParseFromString(resource.payload) && SelectsPods(policy);
}

// The first of it, in whole characters: what is written has to be what is read again.
std::string Shortened(absl::string_view text) {
  size_t size = std::min(text.size(), kMaxMessage);
  while (size > 0 && size < text.size() &&
         (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) {
    --size;
  }
  return std::string(text.substr(0, size));
}

// From the object's top, for who wrote it: what is before "spec" is of the list or of the event
// that brought it.
absl::string_view InObject(absl::string_view error) {
  const size_t top = error.find(".spec");
  const bool of_answer = absl::StartsWith(error, "items[") || absl::StartsWith(error, "object.");
  if (of_answer && top != absl::string_view::npos) error.remove_prefix(top + 1);
  return error;
}

absl::StatusOr<AccessPolicySpec> ParseText(const std::string& text, const ObjectName& name,
                                           absl::string_view root_namespace) {
  ASSIGN_OR_RETURN(const JsonValue value, JsonValue::Parse(text, kMaxPolicyDocument));
  return ParseAccessPolicySpec(value, name, root_namespace);
}

std::string InForce(const AccessPolicySpec& spec) {
  std::string text = spec.policy.dry_run() ? "in force as a dry run" : "in force";
  for (const PolicyFinding& finding : ReviewPolicyForm(spec.policy)) {
    absl::StrAppend(
        &text, "; ", finding.severity == PolicyFinding::Severity::kWarning ? "warning: " : "note: ",
        finding.field.empty() ? "" : absl::StrCat(finding.field, ": "), finding.message);
  }
  return text;
}

// Between what is so whatever the registry has and what it was found to be with that.
constexpr char kComparedAt[] = "; compared with the registry at ";

// Whether the status of an object says what comparing its policy has come to.
bool SaysCompared(const AccessPolicy& object, absl::string_view form) {
  return object.status.has_value() && object.status->accepted &&
         object.status->observed_generation == object.generation &&
         absl::StartsWith(object.status->message, absl::StrCat(form, kComparedAt));
}

// When to compare a policy again that was to be at `due`, and was about nobody, as `tries` times so
// far. Of many that wait most are due at once: what the registry has takes long to look at.
absl::Duration NextCompare(absl::Duration due, absl::Duration now, int tries) {
  const absl::Duration pause = tries <= 1   ? absl::Seconds(30)
                               : tries == 2 ? absl::Minutes(5)
                                            : absl::Hours(1);
  return absl::Ceil(std::max(due, absl::Floor(now, pause)) + pause, pause);
}

// Whether it names what a registry may have otherwise: a port of a service, or addresses.
bool NamesPlaces(const istio::security::Authorization& policy) {
  for (const auto& rule : policy.rules()) {
    for (const auto& clause : rule.clauses()) {
      for (const auto& match : clause.matches()) {
        if (!match.destination_ports().empty() || !match.destination_ips().empty() ||
            !match.source_ips().empty()) {
          return true;
        }
      }
    }
  }
  return false;
}

// Warnings about parts of a policy that come of what the registry has. Those about all of it are
// left out: pods may come after the policy that is about them.
std::string WarningsOf(const istio::security::Authorization& policy, const KnownMesh& known) {
  std::set<std::string> of_form;
  for (const PolicyFinding& finding : ReviewPolicyForm(policy)) {
    of_form.insert(absl::StrCat(finding.field, ": ", finding.message));
  }
  std::string text;
  for (const PolicyFinding& finding : ReviewPolicy(policy, known).findings) {
    const std::string one = absl::StrCat(finding.field, ": ", finding.message);
    if (finding.severity != PolicyFinding::Severity::kWarning || finding.field.empty()) continue;
    if (of_form.count(one) == 0) absl::StrAppend(&text, text.empty() ? "" : "; ", "warning: ", one);
  }
  return text;
}

constexpr char kPolicies[] = "byrnie_controlplane_cluster_policies";
constexpr char kPoliciesHelp[] = "AccessPolicies of the cluster, by what became of them.";

}  // namespace

AccessPolicySource::AccessPolicySource(Informer<AccessPolicy>* objects,
                                       PolicyStatusWriter* statuses, std::string root_namespace,
                                       EventLoop* loop, RegistrySources* sources, EventLog* events,
                                       Logger* logger, MetricRegistry* metrics)
    : objects_(objects),
      statuses_(statuses),
      root_namespace_(std::move(root_namespace)),
      loop_(loop),
      sources_(sources),
      events_(events),
      logger_(logger),
      accepted_(metrics->AddGauge(kPolicies, kPoliciesHelp, {{"result", "accepted"}})),
      refused_(metrics->AddGauge(kPolicies, kPoliciesHelp, {{"result", "refused"}})),
      publish_(loop->NewTimer([this] { Publish(); })),
      look_(loop->NewTimer([this] { Look(); })) {
  objects->AddListener(
      [this](const Informer<AccessPolicy>::Changes& changes) { OnChanges(changes); });
}

void AccessPolicySource::OnChanges(const Informer<AccessPolicy>::Changes& changes) {
  for (const auto& change : changes) {
    if (change.after == nullptr) statuses_->Forget(change.name);
  }
  // Not later for what comes meanwhile.
  if (!publish_->scheduled()) publish_->Schedule(kGather);
}

void AccessPolicySource::Accept(const AccessPolicy& object, Known* known) const {
  const auto take = [&](const AccessPolicySpec& spec, int64_t generation) {
    known->compare_at = absl::InfiniteDuration();
    known->compare_tries = 0;
    known->compared.clear();
    known->generation = generation;
    known->spec = spec;
    known->text = WriteAccessPolicySpec(spec);
    known->resource = MakeResource(kSource, spec.policy);
  };
  if (object.spec.ok()) {
    if (known->resource == nullptr || known->generation != object.generation) {
      take(*object.spec, object.generation);
      if (NamesPlaces(known->spec.policy) &&
          !SaysCompared(object, Shortened(InForce(known->spec)))) {
        known->compare_at = loop_->Now() + kCompare;
      }
    }
    return;
  }
  // What this one has not seen another one has, or an earlier one has been told.
  if (!object.status.has_value()) return;
  const AccessPolicyStatus& status = *object.status;
  if (status.accepted_generation <= known->generation ||
      status.accepted_generation > object.generation) {
    return;
  }
  const absl::StatusOr<AccessPolicySpec> before =
      ParseText(status.accepted_spec, object.name, root_namespace_);
  if (before.ok()) take(*before, status.accepted_generation);
}

bool AccessPolicySource::Waits(const std::string& key, bool done, absl::Duration longest) {
  if (done) return false;
  const absl::Duration since = waiting_since_.emplace(key, loop_->Now()).first->second;
  if (loop_->Now() - since >= longest) return false;
  waiting_.insert(key);
  return true;
}

RegistryChange AccessPolicySource::Make(const RegistrySnapshot& base, Told* told) {
  RegistryChange change;
  for (auto& [name, known] : known_) {
    if (known.resource == nullptr) continue;
    const Resource* const there = base.Find(ResourceType::kAuthorization, known.resource->name);
    known.taken = there != nullptr && there->source != kSource;
    if (known.taken || (there != nullptr && there->SaysTheSameAs(*known.resource))) continue;
    // It applies to the pods it is to select as long as it is not by their word alone that it does.
    const bool begins_to_select =
        there != nullptr && !SelectsPods(*there) && SelectsPods(known.spec.policy);
    if (begins_to_select && Waits(there->name, /*done=*/false, kLink)) continue;
    change.put.push_back({known.resource, ListedResource::kNoIndex});
    told->emplace_back(known.resource->name,
                       there == nullptr ? "applied in the cluster" : "changed in the cluster");
  }
  for (const NamedResource& entry : base.resources(ResourceType::kAuthorization).map()) {
    const ResourcePtr& resource = entry.resource;
    if (resource->source != kSource) continue;
    const size_t slash = resource->name.find('/');
    const auto known =
        known_.find({resource->name.substr(0, slash), resource->name.substr(slash + 1)});
    if (known != known_.end() && known->second.resource != nullptr) continue;
    // Who names a policy that is not there is denied every connection.
    bool named = false;
    base.ForEachUser(resource->name, [&named](const Resource& workload) {
      named = named || workload.source == kSource;
    });
    if (Waits(resource->name, !named, kMostLink)) continue;
    change.removed.push_back(resource);
    told->emplace_back(resource->name, "deleted in the cluster");
  }
  return change;
}

AccessPolicySource::Objects AccessPolicySource::Staying() const {
  Objects staying;
  for (const auto& [name, selector] : selectors_) {
    const auto known = known_.find(name);
    if (known == known_.end() || known->second.resource == nullptr || known->second.taken) continue;
    staying.emplace(name, selector);
  }
  return staying;
}

AccessPolicySource::Objects AccessPolicySource::Selectors() const {
  Objects selectors;
  for (const auto& [name, known] : known_) {
    if (known.resource == nullptr || known.taken || !SelectsPods(known.spec.policy)) continue;
    selectors.emplace(name,
                      std::make_shared<PolicySelector>(PolicySelector{name, known.spec.selector}));
  }
  return selectors;
}

void AccessPolicySource::TellSelectors(Objects next, bool always) {
  Changes changes;
  for (auto& [name, selector] : next) {
    const auto known = selectors_.find(name);
    if (known == selectors_.end()) {
      changes.push_back({name, nullptr, selector});
    } else if (*known->second == *selector) {
      selector = known->second;
    } else {
      changes.push_back({name, known->second, selector});
    }
  }
  for (const auto& [name, selector] : selectors_) {
    if (next.count(name) == 0) changes.push_back({name, selector, nullptr});
  }
  selectors_ = std::move(next);
  if (changes.empty() && !always) return;
  for (const Listener& listener : listeners_) listener(changes);
}

void AccessPolicySource::Publish() {
  if (!objects_->synced()) return;
  for (auto it = known_.begin(); it != known_.end();) {
    const auto here = it++;
    if (objects_->objects().count(here->first) == 0) known_.erase(here);
  }
  for (const auto& [name, object] : objects_->objects()) {
    Known& known = known_[name];
    if (known.uid != object->uid) {
      // One that was made anew under the name of another has said nothing before.
      known = Known();
      known.uid = object->uid;
    }
    Accept(*object, &known);
  }
  // What goes is named no more first; what comes is named once it is there.
  if (synced_) TellSelectors(Staying(), /*always=*/false);

  Told told;
  const absl::Status changed =
      sources_->TakeChange([&](const RegistrySnapshot& base) -> absl::StatusOr<RegistryChange> {
        told.clear();
        waiting_.clear();
        return Make(base, &told);
      });
  if (!changed.ok()) return publish_->Schedule(kLook);
  for (const auto& [key, what] : told) events_->Add(EventKind::kPolicyChanged, key, what);
  for (auto it = waiting_since_.begin(); it != waiting_since_.end();) {
    const auto here = it++;
    if (waiting_.count(here->first) == 0) waiting_since_.erase(here);
  }
  seen_ = sources_->snapshot();
  const bool first = !synced_;
  synced_ = true;
  TellSelectors(Selectors(), first);
  int64_t accepted = 0;
  std::vector<std::string> refused;
  for (const auto& [name, object] : objects_->objects()) {
    Known& known = known_[name];
    AccessPolicyStatus status = StatusOf(*object, known);
    if (status.accepted) {
      ++accepted;
    } else {
      refused.push_back(absl::StrCat(KeyOf(name), " (", status.reason, ": ", status.message, ")"));
    }
    Say(status, name, &known);
    statuses_->Want(object, std::move(status));
  }
  {
    absl::MutexLock lock(&mu_);
    refused_now_ = std::move(refused);
  }
  accepted_->Set(accepted);
  refused_->Set(static_cast<int64_t>(objects_->objects().size()) - accepted);
  if (!waiting_.empty()) publish_->Schedule(kLink);
  look_->Schedule(kLook);
}

std::vector<std::string> AccessPolicySource::refused() const {
  absl::MutexLock lock(&mu_);
  return refused_now_;
}

void AccessPolicySource::Compare() {
  MeshLook look([this] { return sources_->snapshot(); });
  const MeshLook::Visit visit(&look);
  for (auto& [name, known] : known_) {
    // One whose key is the API's stays due.
    if (known.compare_at > loop_->Now() || known.taken) continue;
    const std::shared_ptr<const KnownMesh> mesh = visit.Known();
    if (mesh->AreaOf(known.spec.policy).workloads == 0) {
      known.compare_at = NextCompare(known.compare_at, loop_->Now(), ++known.compare_tries);
      continue;
    }
    known.compare_at = absl::InfiniteDuration();
    known.compared = WarningsOf(known.spec.policy, *mesh);
    if (known.compared.empty()) continue;
    known.compared =
        absl::StrCat(kComparedAt, UtcText(loop_->WallNow()), ": ", Shortened(known.compared));
    if (!publish_->scheduled()) publish_->Schedule(absl::ZeroDuration());
  }
}

void AccessPolicySource::Look() {
  look_->Schedule(kLook);
  Compare();
  RegistrySnapshotPtr now = sources_->snapshot();
  if (now == seen_) return;
  seen_ = std::move(now);
  const bool as_it_was = std::all_of(known_.begin(), known_.end(), [this](const auto& entry) {
    const Known& known = entry.second;
    if (known.resource == nullptr) return true;
    const Resource* const there = seen_->Find(ResourceType::kAuthorization, known.resource->name);
    const bool ours = there != nullptr && there->source == kSource;
    return known.taken ? there != nullptr && !ours : ours;
  });
  if (!as_it_was && !publish_->scheduled()) publish_->Schedule(absl::ZeroDuration());
}

AccessPolicyStatus AccessPolicySource::StatusOf(const AccessPolicy& object,
                                                const Known& known) const {
  AccessPolicyStatus status;
  status.observed_generation = object.generation;
  status.accepted_generation = known.generation;
  status.accepted_spec = known.text;
  if (!object.spec.ok()) {
    status.reason = kInvalid;
    status.message = absl::StrCat(
        Shortened(InObject(object.spec.status().message())),
        known.resource == nullptr || known.taken
            ? "; nothing of it is in force"
            : absl::StrCat("; what generation ", known.generation, " said stays in force"));
  } else if (known.taken) {
    status.reason = kNameTaken;
    status.message = absl::StrCat(
        "nothing of it is in force: a policy of this name was applied through the API, which has "
        "precedence; give this one another name, or byrniectl policy delete ",
        KeyOf(object.name));
  } else {
    status.accepted = true;
    status.reason = kAccepted;
    const std::string form = Shortened(InForce(known.spec));
    status.message = absl::StrCat(form, known.compared);
    // Whoever was first has said it.
    if (SaysCompared(object, form)) status.message = object.status->message;
  }
  return status;
}

void AccessPolicySource::Say(const AccessPolicyStatus& status, const ObjectName& name,
                             Known* known) {
  const std::string what = status.accepted ? "" : status.message;
  if (known->said == what) return;
  known->said = what;
  if (status.accepted) {
    logger_->Info("an AccessPolicy is accepted again", {{"policy", KeyOf(name)}});
    return;
  }
  logger_->Warning("an AccessPolicy is refused",
                   {{"policy", KeyOf(name)}, {"reason", status.reason}, {"error", what}});
  events_->Add(EventKind::kPolicyChanged, KeyOf(name), absl::StrCat("refused: ", what));
}

}  // namespace byrnie
