#include "controlplane/discovery/delta_subscriptions.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
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

void AddResource(const Resource& resource, absl::string_view type_url,
                 DeltaSubscriptions::Response* response) {
  auto* out = response->add_resources();
  out->set_name(resource.name);
  out->set_version(resource.version);
  for (const std::string& alias : resource.aliases) out->add_aliases(alias);
  out->mutable_resource()->set_type_url(std::string(type_url));
  out->mutable_resource()->set_value(resource.payload);
}

}  // namespace

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
    type->dirty = true;
    // The legacy wildcard: nothing named means everything.
    if (request.resource_names_subscribe().empty()) type->wildcard = true;
    for (const auto& entry : request.initial_resource_versions()) {
      if (entry.first.size() > kMaxNameLength) {
        return absl::InvalidArgumentError("an initial resource name is too long");
      }
      type->sent.emplace(entry.first, entry.second);
    }
  }
  for (const std::string& name : request.resource_names_subscribe()) {
    type->dirty = true;
    if (name == kWildcard) {
      type->wildcard = true;
      type->owes_answer = true;
      continue;
    }
    type->names.insert(name);
    type->dropped.erase(name);
    // On the first request the client has said what it has; later, asking again means it wants it
    // again.
    if (!first) type->asked.insert(name);
  }
  for (const std::string& name : request.resource_names_unsubscribe()) {
    type->dirty = true;
    if (name == kWildcard) {
      type->wildcard_dropped |= type->wildcard;
      type->wildcard = false;
    } else if (type->names.erase(name) > 0) {
      type->asked.erase(name);
      type->absent.erase(name);
      type->dropped.insert(name);
    }
  }
  if (type->names.size() + type->sent.size() > kMaxNames && !type->wildcard) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a stream may hold at most ", kMaxNames, " resource names"));
  }
  return absl::OkStatus();
}

void DeltaSubscriptions::OnRegistryChanged() {
  for (Type& type : types_) type.dirty |= type.started;
}

absl::optional<DeltaSubscriptions::Response> DeltaSubscriptions::Next(
    const RegistrySnapshot& snapshot) {
  if (unacknowledged_.size() >= kMaxUnacknowledged) return absl::nullopt;
  for (ResourceType type : kResourceTypes) {
    if (!types_[static_cast<size_t>(type)].dirty) continue;
    absl::optional<Response> response = NextOf(type, snapshot);
    if (response.has_value()) return response;
  }
  return NextUnknownType();
}

// Takes out of `sent` what nobody subscribes to any more.
void DeltaSubscriptions::Forget(ResourceType resource_type, const RegistrySnapshot& snapshot,
                                Type* type) {
  if (type->dropped.empty() && !type->wildcard_dropped) return;
  absl::btree_set<absl::string_view> wanted;
  for (const std::string& name : type->names) {
    for (const Resource* resource : snapshot.Resolve(resource_type, name)) {
      wanted.insert(resource->name);
    }
  }
  auto forget = [&](const std::string& key) {
    if (!type->wildcard && wanted.count(key) == 0) type->sent.erase(key);
  };
  if (type->wildcard_dropped) {
    std::vector<std::string> keys;
    for (const auto& entry : type->sent) keys.push_back(entry.first);
    for (const std::string& key : keys) forget(key);
  }
  for (const std::string& name : type->dropped) {
    forget(name);
    for (const Resource* resource : snapshot.Resolve(resource_type, name)) forget(resource->name);
  }
  type->dropped.clear();
  type->wildcard_dropped = false;
}

absl::optional<DeltaSubscriptions::Response> DeltaSubscriptions::NextOf(
    ResourceType resource_type, const RegistrySnapshot& snapshot) {
  Type& type = types_[static_cast<size_t>(resource_type)];
  Forget(resource_type, snapshot, &type);
  Response response;
  size_t bytes = 0;
  const auto full = [&bytes] { return bytes >= kResponseBytes; };
  const auto send = [&](const Resource& resource) {
    type.sent[resource.name] = resource.version;
    AddResource(resource, ResourceTypeUrl(resource_type), &response);
    bytes += resource.payload.size() + 2 * resource.name.size() + 64;
  };
  const auto send_if_new = [&](const Resource& resource) {
    auto it = type.sent.find(resource.name);
    if (it == type.sent.end() || it->second != resource.version) send(resource);
  };

  // Names that were just asked for are forgotten first, so that what they stand for is sent again,
  // and once.
  for (const std::string& name : type.asked) {
    type.absent.erase(name);
    for (const Resource* resource : snapshot.Resolve(resource_type, name)) {
      type.sent.erase(resource->name);
    }
  }
  type.asked.clear();

  for (const std::string& name : type.names) {
    if (full()) break;
    const std::vector<const Resource*> resources = snapshot.Resolve(resource_type, name);
    if (!resources.empty()) {
      type.absent.erase(name);
    } else if (type.absent.insert(name).second) {
      response.add_removed_resources(name);
      type.sent.erase(name);
      bytes += name.size() + 8;
    }
    for (const Resource* resource : resources) send_if_new(*resource);
  }
  if (type.wildcard) {
    for (const auto& entry : snapshot.resources(resource_type)) {
      if (full()) break;
      send_if_new(entry.second);
    }
  }
  // What the client still has from before: newer, or gone.
  for (auto it = type.sent.begin(); it != type.sent.end() && !full();) {
    const Resource* resource = snapshot.Find(resource_type, it->first);
    if (resource == nullptr) {
      response.add_removed_resources(it->first);
      bytes += it->first.size() + 8;
      it = type.sent.erase(it);
    } else {
      if (it->second != resource->version) {
        it->second = resource->version;
        AddResource(*resource, ResourceTypeUrl(resource_type), &response);
        bytes += resource->payload.size() + 2 * resource->name.size() + 64;
      }
      ++it;
    }
  }
  type.dirty = full();

  const bool empty = response.resources().empty() && response.removed_resources().empty();
  if (empty && !type.owes_answer) return absl::nullopt;
  type.owes_answer = false;
  response.set_type_url(std::string(ResourceTypeUrl(resource_type)));
  Seal(&response);
  return response;
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
