#include "controlplane/discovery/delta_subscriptions.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

constexpr char kWildcard[] = "*";
// Unknown types cost a name each; a client that invents more is broken.
constexpr size_t kMaxUnknownTypes = 16;

absl::Status CheckNames(const google::protobuf::RepeatedPtrField<std::string>& names) {
  for (const std::string& name : names) {
    if (name.empty() || name.size() > DeltaSubscriptions::kMaxNameLength) {
      return absl::InvalidArgumentError(absl::StrCat("a resource name has ", name.size(),
                                                     " bytes; give 1 to ",
                                                     DeltaSubscriptions::kMaxNameLength));
    }
  }
  return absl::OkStatus();
}

size_t CostOf(const std::string& name) { return name.size() + DeltaSubscriptions::kNameCost; }

// Whether who has something of that version is to be sent `resource`. A stand-in takes the place of
// another one alone.
bool IsNews(absl::string_view has, const Resource& resource) {
  return has != resource.version && (!resource.stand_in || IsStandInVersion(has));
}

}  // namespace

// A response that is being filled.
class DeltaSubscriptions::Filling {
 public:
  explicit Filling(ResourceType type) : type_(type) {}

  ResourceType type() const { return type_; }
  bool full() const { return bytes_ >= kResponseBytes; }
  bool empty() const {
    return response_.resources().empty() && response_.removed_resources().empty();
  }

  void Send(const Resource& resource) {
    auto* out = response_.add_resources();
    out->set_name(resource.name);
    out->set_version(resource.version);
    for (const std::string& alias : resource.aliases) out->add_aliases(alias);
    out->mutable_resource()->set_type_url(std::string(ResourceTypeUrl(type_)));
    out->mutable_resource()->set_value(resource.payload);
    bytes_ += resource.payload.size() + 2 * resource.name.size() + 64;
  }
  void Remove(const std::string& name) {
    response_.add_removed_resources(name);
    bytes_ += name.size() + 8;
  }
  Response Take() {
    response_.set_type_url(std::string(ResourceTypeUrl(type_)));
    return std::move(response_);
  }

 private:
  const ResourceType type_;
  Response response_;
  size_t bytes_ = 0;
};

DeltaSubscriptions::Type* DeltaSubscriptions::FindType(const std::string& url) {
  for (ResourceType type : kResourceTypes) {
    if (url == ResourceTypeUrl(type)) return &types_[static_cast<size_t>(type)];
  }
  return nullptr;
}

absl::StatusOr<absl::optional<DeltaSubscriptions::Feedback>> DeltaSubscriptions::OnRequest(
    const Request& request) {
  RETURN_IF_ERROR(CheckNames(request.resource_names_subscribe()));
  RETURN_IF_ERROR(CheckNames(request.resource_names_unsubscribe()));
  absl::optional<Feedback> feedback = TakeFeedback(request);
  Type* type = FindType(request.type_url());
  if (type != nullptr) {
    RETURN_IF_ERROR(Subscribe(request, type));
    return feedback;
  }
  if (request.type_url().empty()) {
    return absl::InvalidArgumentError("a discovery request has no type_url");
  }
  if (request.response_nonce().empty()) {
    if (unknown_types_.size() >= kMaxUnknownTypes) {
      return absl::ResourceExhaustedError("too many resource types that are not served");
    }
    auto& names = unknown_types_[request.type_url()];
    for (const std::string& name : request.resource_names_subscribe()) {
      if (name != kWildcard) names.insert(name);
    }
  }
  return feedback;
}

absl::optional<DeltaSubscriptions::Feedback> DeltaSubscriptions::TakeFeedback(
    const Request& request) {
  uint64_t nonce = 0;
  // Another stream's or an invented nonce acknowledges nothing; what the request subscribes to
  // still counts.
  if (!absl::SimpleAtoi(request.response_nonce(), &nonce) || unacknowledged_.erase(nonce) == 0) {
    return absl::nullopt;
  }
  Feedback feedback;
  feedback.rejected = request.has_error_detail();
  feedback.type_url = request.type_url();
  feedback.nonce = request.response_nonce();
  feedback.error = request.error_detail().message();
  return feedback;
}

absl::Status DeltaSubscriptions::Subscribe(const Request& request, Type* type) {
  const bool first = !type->started;
  if (first) {
    type->started = true;
    type->owes_answer = true;
    // The legacy wildcard: nothing named means everything.
    if (request.resource_names_subscribe().empty()) type->wildcard = true;
    for (const auto& entry : request.initial_resource_versions()) {
      if (entry.first.size() > kMaxNameLength) {
        return absl::InvalidArgumentError("an initial resource name is too long");
      }
      if (entry.second.size() > kMaxNameLength) {
        return absl::InvalidArgumentError("an initial resource version is too long");
      }
      type->sent.Claim(entry.first, entry.second);
      type->keys_due.insert(entry.first);
    }
  }
  for (const std::string& name : request.resource_names_subscribe()) {
    if (name == kWildcard) {
      type->wildcard = true;
      type->owes_answer = true;
      continue;
    }
    if (type->names.emplace(name, false).second) name_bytes_ += CostOf(name);
    type->names_due.insert(name);
    type->dropped.erase(name);
    // On the first request the client has said what it has; later, asking again means it wants it
    // again.
    if (!first) type->asked.insert(name);
  }
  for (const std::string& name : request.resource_names_unsubscribe()) {
    if (name == kWildcard) {
      type->wildcard = false;
    } else if (type->names.erase(name) > 0) {
      name_bytes_ -= CostOf(name);
      type->asked.erase(name);
      type->names_due.erase(name);
      type->dropped.insert(name);
    }
  }
  if (type->names.size() + type->sent.size() > kMaxNames && !type->wildcard) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a stream may hold at most ", kMaxNames, " resource names"));
  }
  return CheckHeld();
}

size_t DeltaSubscriptions::kept_bytes() const {
  size_t bytes = name_bytes_;
  for (const Type& type : types_) {
    bytes += type.sent.bytes();
    if (type.walk.has_value()) bytes += type.walk->claimed.bytes();
  }
  return bytes;
}

size_t DeltaSubscriptions::held_bytes() const {
  size_t due = 0;
  for (const Type& type : types_) {
    due += type.asked.size() + type.dropped.size() + type.names_due.size() + type.keys_due.size() +
           type.services_due.size() + type.forced.size();
  }
  return kept_bytes() + due * kNameCost;
}

absl::Status DeltaSubscriptions::CheckHeld() const {
  // Also of a client that wants everything besides: its names are kept all the same.
  bool too_many = kept_bytes() > kMaxHeldBytes;
  for (const Type& type : types_) too_many |= type.names.size() > kMaxNames;
  if (!too_many) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "a stream may hold at most ", kMaxNames, " resource names and ", kMaxHeldBytes,
      " bytes of them, ", kNameCost, " more for each, and ", HeldResources::kSentCost,
      " for each resource it was sent; subscribe to fewer, or to everything with \"*\" alone"));
}

absl::optional<DeltaSubscriptions::Response> DeltaSubscriptions::Next(
    const RegistrySnapshotPtr& snapshot) {
  if (awaits_acknowledgement()) return absl::nullopt;
  for (ResourceType type : kResourceTypes) {
    if (!types_[static_cast<size_t>(type)].started) continue;
    absl::optional<Response> response = NextOf(type, snapshot);
    if (response.has_value()) return response;
  }
  return NextUnknownType();
}

absl::optional<DeltaSubscriptions::Response> DeltaSubscriptions::NextOf(
    ResourceType resource_type, const RegistrySnapshotPtr& snapshot) {
  Type& type = types_[static_cast<size_t>(resource_type)];
  Follow(resource_type, snapshot, &type);
  Forget(resource_type, *snapshot, &type);
  Filling out(resource_type);
  Resolve(*snapshot, &type, &out);
  Compare(*snapshot, &type.keys_due, &type, &out);
  Compare(*snapshot, &type.services_due, &type, &out);
  if (type.walk.has_value()) GoOn(snapshot, &*type.walk, &out);
  if (out.empty() && !type.owes_answer) return absl::nullopt;
  type.owes_answer = false;
  Response response = out.Take();
  Seal(&response);
  return response;
}

// Finds what a new snapshot, and a wildcard that has come or gone, make due.
void DeltaSubscriptions::Follow(ResourceType resource_type, const RegistrySnapshotPtr& snapshot,
                                Type* type) {
  if (type->wildcard && !type->walk.has_value()) BeginWalk(snapshot, type);
  if (!type->wildcard && type->walk.has_value()) EndWalk(resource_type, type);
  if (type->seen == snapshot) return;
  if (type->seen != nullptr) Mark(resource_type, *snapshot, type);
  type->seen = snapshot;
}

void DeltaSubscriptions::BeginWalk(const RegistrySnapshotPtr& snapshot, Type* type) {
  type->walk = Walk{RegistrySnapshot::Empty(), snapshot, "", std::exchange(type->sent, {})};
  type->keys_due.clear();
  type->services_due.clear();
}

// What the client has of what its names stand for is all that is remembered; what is due of it is
// found anew.
void DeltaSubscriptions::EndWalk(ResourceType resource_type, Type* type) {
  const Walk walk = *std::move(type->walk);
  type->walk.reset();
  type->names_due.clear();
  for (const auto& entry : type->names) {
    const std::string& name = entry.first;
    type->names_due.insert(name);
    for (const RegistrySnapshotPtr& view : {walk.from, walk.to}) {
      for (const Resource* resource : view->Resolve(resource_type, name)) {
        const std::string& key = resource->name;
        const RegistrySnapshotPtr& passed = key <= walk.cursor ? walk.to : walk.from;
        const absl::optional<absl::string_view> claimed = walk.claimed.VersionOf(key);
        if (ResourcePtr has = passed->Get(resource_type, key)) {
          type->sent.Put(std::move(has));
        } else if (claimed.has_value()) {
          type->sent.Claim(key, std::string(*claimed));
        } else {
          continue;
        }
        type->keys_due.insert(key);
      }
    }
  }
}

// Finds what the difference between the snapshot seen last and `after` concerns.
void DeltaSubscriptions::Mark(ResourceType resource_type, const RegistrySnapshot& after,
                              Type* type) {
  if (type->names.empty() && type->sent.empty()) return;
  const RegistrySnapshot& before = *type->seen;
  DiffResources(resource_type, before, after, "",
                [type](const Resource* old_one, const Resource* new_one) {
                  const std::string& key = (old_one == nullptr ? new_one : old_one)->name;
                  if (type->sent.Contains(key)) type->keys_due.insert(key);
                  if (type->names.contains(key)) type->names_due.insert(key);
                  return true;
                });
  if (resource_type != ResourceType::kAddress) return;
  if (before.HasUnplaced() && !after.HasUnplaced()) {
    // What nothing could be said of.
    for (const auto& entry : type->names) type->names_due.insert(entry.first);
  }
  DiffAddresses(before, after, [type](absl::string_view alias) {
    if (type->names.contains(alias)) type->names_due.emplace(alias);
  });
  DiffEndpoints(before, after, [type, &after](absl::string_view service, const Resource& workload) {
    bool wanted = type->names.contains(service);
    const Resource* const resource = after.Find(ResourceType::kAddress, service);
    if (!wanted && resource != nullptr) {
      for (const std::string& alias : resource->aliases) wanted |= type->names.contains(alias);
    }
    if (wanted) type->keys_due.insert(workload.name);
  });
}

// Takes out of what the client has what nobody subscribes to any more.
void DeltaSubscriptions::Forget(ResourceType resource_type, const RegistrySnapshot& snapshot,
                                Type* type) {
  if (type->dropped.empty()) return;
  absl::btree_set<absl::string_view> wanted;
  for (const auto& entry : type->names) {
    for (const Resource* resource : snapshot.Resolve(resource_type, entry.first)) {
      wanted.insert(resource->name);
    }
  }
  const auto forget = [&](const std::string& key) {
    if (wanted.contains(key)) return;
    type->sent.Erase(key);
    type->keys_due.erase(key);
    type->services_due.erase(key);
    type->forced.erase(key);
  };
  for (const std::string& name : type->dropped) {
    forget(name);
    for (const Resource* resource : snapshot.Resolve(resource_type, name)) forget(resource->name);
  }
  type->dropped.clear();
}

// Makes keys due of the names that are.
void DeltaSubscriptions::Resolve(const RegistrySnapshot& snapshot, Type* type, Filling* out) {
  for (const std::string& name : type->asked) {
    const auto named = type->names.find(name);
    if (named != type->names.end()) named->second = false;
    for (const Resource* resource : snapshot.Resolve(out->type(), name)) {
      type->forced.insert(resource->name);
    }
  }
  type->asked.clear();
  const bool withheld = out->type() == ResourceType::kAddress && snapshot.HasUnplaced();
  while (!type->names_due.empty() && !out->full()) {
    const std::string name = std::move(type->names_due.extract(type->names_due.begin()).value());
    const std::vector<const Resource*> resources = snapshot.Resolve(out->type(), name);
    const auto named = type->names.find(name);
    if (named == type->names.end()) continue;
    if (!resources.empty()) {
      named->second = false;
    } else if (withheld) {
      // It may be where what cannot be read is: who waits for the answer refuses the connection.
    } else if (!std::exchange(named->second, true)) {
      out->Remove(name);
      type->sent.Erase(name);
      type->keys_due.erase(name);
    }
    for (const Resource* resource : resources) {
      // Who waits for a service is to find its workloads when it comes.
      const bool last = resource->kind == ResourceKind::kService;
      (last ? type->services_due : type->keys_due).insert(resource->name);
    }
  }
}

void DeltaSubscriptions::Compare(const RegistrySnapshot& snapshot, Names* due, Type* type,
                                 Filling* out) {
  while (!due->empty() && !out->full()) {
    const std::string key = std::move(due->extract(due->begin()).value());
    ResourcePtr resource = snapshot.Get(out->type(), key);
    const bool forced = type->forced.erase(key) > 0;
    if (type->walk.has_value()) {
      // The rest comes when the walk gets there.
      if (forced && resource != nullptr) out->Send(*resource);
      continue;
    }
    if (resource == nullptr) {
      if (type->sent.Erase(key)) out->Remove(key);
      continue;
    }
    const absl::optional<absl::string_view> has = type->sent.VersionOf(key);
    const bool send = forced || !has.has_value() || IsNews(*has, *resource);
    if (send) out->Send(*resource);
    // Also where the client has it: the registry's own costs less than what the client says.
    if (send || *has == resource->version) type->sent.Put(std::move(resource));
  }
}

void DeltaSubscriptions::GoOn(const RegistrySnapshotPtr& snapshot, Walk* walk, Filling* out) {
  while (!out->full()) {
    if (walk->from == walk->to) {
      while (!walk->claimed.empty() && !out->full()) {
        const std::string key = walk->claimed.TakeOne();
        if (walk->to->Find(out->type(), key) == nullptr) out->Remove(key);
      }
      if (walk->to == snapshot || out->full()) return;
      walk->to = snapshot;
      walk->cursor.clear();
    }
    DiffResources(out->type(), *walk->from, *walk->to, walk->cursor,
                  [walk, out](const Resource* old_one, const Resource* new_one) {
                    const std::string& key = (old_one == nullptr ? new_one : old_one)->name;
                    if (new_one == nullptr) {
                      out->Remove(key);
                    } else {
                      const auto claimed = walk->claimed.VersionOf(key);
                      const bool has =
                          claimed.has_value()
                              ? !IsNews(*claimed, *new_one)
                              : old_one != nullptr && old_one->version == new_one->version;
                      if (!has) out->Send(*new_one);
                    }
                    walk->cursor = key;
                    return !out->full();
                  });
    if (!out->full()) walk->from = walk->to;
  }
}

absl::optional<DeltaSubscriptions::Response> DeltaSubscriptions::NextUnknownType() {
  if (unknown_types_.empty()) return absl::nullopt;
  auto it = unknown_types_.begin();
  Response response;
  response.set_type_url(it->first);
  for (const std::string& name : it->second) response.add_removed_resources(name);
  unknown_types_.erase(it);
  Seal(&response);
  return response;
}

void DeltaSubscriptions::Seal(Response* response) {
  unacknowledged_.insert(++last_nonce_);
  response->set_nonce(absl::StrCat(last_nonce_));
}

}  // namespace byrnie
