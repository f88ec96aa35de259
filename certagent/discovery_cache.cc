#include "certagent/discovery_cache.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

using ::envoy::service::discovery::v3::Resource;
using ::istio::security::Authorization;
using ::istio::workload::Address;

constexpr int kInvalidArgument = 3;
// Names in an error message; more would be a message of megabytes for a bad push.
constexpr size_t kNamedErrors = 5;

// At most `size` bytes of UTF-8, whole characters alone: a rejection that holds half a one does not
// parse at the control plane, which would end the stream over it.
absl::string_view Cut(absl::string_view text, size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size);
}

absl::StatusOr<std::string> NameIn(absl::string_view network, const std::string& bytes) {
  ASSIGN_OR_RETURN(IpAddress ip, IpAddress::FromBytes(bytes));
  return absl::StrCat(network, "/", ip.ToString());
}

absl::StatusOr<std::string> KeyOf(const Address& address) {
  std::string key;
  switch (address.type_case()) {
    case Address::kWorkload:
      key = address.workload().uid();
      break;
    case Address::kService:
      if (!address.service().hostname().empty()) {
        key = absl::StrCat(address.service().namespace_(), "/", address.service().hostname());
      }
      break;
    case Address::TYPE_NOT_SET:
      return absl::InvalidArgumentError("neither a workload nor a service");
  }
  if (key.empty()) return absl::InvalidArgumentError("no uid or hostname");
  return key;
}

absl::StatusOr<std::vector<std::string>> NamesOf(const Address& address) {
  std::vector<std::string> names;
  for (const std::string& bytes : address.workload().addresses()) {
    ASSIGN_OR_RETURN(std::string name, NameIn(address.workload().network(), bytes));
    names.push_back(std::move(name));
  }
  for (const auto& entry : address.service().addresses()) {
    ASSIGN_OR_RETURN(std::string name, NameIn(entry.network(), entry.address()));
    names.push_back(std::move(name));
  }
  return names;
}

template <typename Message>
absl::StatusOr<Message> Unpack(const Resource& resource, absl::string_view type) {
  Message message;
  if (resource.resource().type_url() != type) {
    return absl::InvalidArgumentError(
        absl::StrCat("type ", Cut(resource.resource().type_url(), 128)));
  }
  if (!message.ParseFromString(resource.resource().value())) {
    return absl::InvalidArgumentError("does not parse");
  }
  return message;
}

absl::StatusOr<Address> ParseAddress(const Resource& resource, std::string* key,
                                     std::vector<std::string>* names) {
  ASSIGN_OR_RETURN(Address address, Unpack<Address>(resource, DiscoveryCache::kAddressType));
  ASSIGN_OR_RETURN(*key, KeyOf(address));
  ASSIGN_OR_RETURN(*names, NamesOf(address));
  return address;
}

std::string NameIn(absl::string_view network, const IpAddress& ip) {
  return absl::StrCat(network, "/", ip.ToString());
}

std::vector<std::string> Names(absl::string_view network, const std::vector<IpAddress>& addresses) {
  std::vector<std::string> names;
  for (const IpAddress& ip : addresses) names.push_back(NameIn(network, ip));
  return names;
}

void AddError(const Resource& resource, const absl::Status& status,
              std::vector<std::string>* errors) {
  if (errors->size() < kNamedErrors) {
    errors->push_back(absl::StrCat(Cut(resource.name(), 256), ": ", status.message()));
  }
}

}  // namespace

constexpr char DiscoveryCache::kAddressType[];
constexpr char DiscoveryCache::kAuthorizationType[];

DiscoveryCache::DiscoveryCache(std::string node_id, std::string network,
                               const std::vector<IpAddress>& own)
    : node_id_(std::move(node_id)), network_(std::move(network)), own_(Names(network_, own)) {
  for (const std::string& name : own_) subscriptions_[name] = false;
}

std::vector<DiscoveryCache::Request> DiscoveryCache::OpenStream() {
  Request addresses;
  addresses.mutable_node()->set_id(node_id_);
  addresses.set_type_url(kAddressType);
  // On demand: a stream that names nothing at first is sent everything; subscribing to all and
  // taking it back at once says that only named addresses are wanted.
  addresses.add_resource_names_subscribe("*");
  addresses.add_resource_names_unsubscribe("*");
  for (const std::string& name : own_) addresses.add_resource_names_subscribe(name);
  for (const auto& subscription : subscriptions_) {
    bool own = false;
    for (const std::string& name : own_) own = own || name == subscription.first;
    if (!own) addresses.add_resource_names_subscribe(subscription.first);
  }
  for (const auto& entry : addresses_) {
    (*addresses.mutable_initial_resource_versions())[entry.first] = entry.second.version;
  }

  Request policies;
  policies.mutable_node()->set_id(node_id_);
  policies.set_type_url(kAuthorizationType);
  policies.add_resource_names_subscribe("*");
  for (const auto& entry : policies_) {
    (*policies.mutable_initial_resource_versions())[entry.first] = entry.second.version;
  }
  std::vector<Request> requests;
  requests.push_back(std::move(addresses));
  requests.push_back(std::move(policies));
  return requests;
}

std::string DiscoveryCache::NameOf(const IpAddress& address) const {
  return NameIn(network_, address);
}

DiscoveryCache::Answer DiscoveryCache::Lookup(const IpAddress& address) const {
  const std::string name = NameOf(address);
  if (key_by_name_.contains(name)) return Answer::kFound;
  auto subscription = subscriptions_.find(name);
  if (subscription != subscriptions_.end() && subscription->second) return Answer::kNotFound;
  return Answer::kUnknown;
}

absl::optional<DiscoveryCache::Request> DiscoveryCache::Subscribe(const IpAddress& address) {
  const std::string name = NameOf(address);
  Request request;
  request.set_type_url(kAddressType);
  if (!subscriptions_.contains(name)) {
    if (!MakeRoom(&request)) return absl::nullopt;
    subscriptions_[name] = false;
  }
  request.add_resource_names_subscribe(name);
  return request;
}

bool DiscoveryCache::MakeRoom(Request* request) {
  while (subscriptions_.size() >= kMaxSubscriptions && !absent_.empty()) {
    auto candidate = subscriptions_.find(absent_.front());
    if (candidate != subscriptions_.end() && candidate->second) {
      request->add_resource_names_unsubscribe(candidate->first);
      subscriptions_.erase(candidate);
    }
    absent_.pop_front();
  }
  return subscriptions_.size() < kMaxSubscriptions;
}

DiscoveryCache::Outcome DiscoveryCache::OnResponse(const Response& response) {
  Outcome outcome;
  outcome.reply.set_type_url(response.type_url());
  outcome.reply.set_response_nonce(response.nonce());
  if (response.type_url() == kAddressType) {
    OnAddresses(response, &outcome);
  } else if (response.type_url() == kAuthorizationType) {
    OnPolicies(response, &outcome);
  } else {
    outcome.rejected = absl::StrCat("unknown resource type ", Cut(response.type_url(), 128));
  }
  if (!outcome.rejected.empty()) {
    outcome.reply.mutable_error_detail()->set_code(kInvalidArgument);
    outcome.reply.mutable_error_detail()->set_message(outcome.rejected);
  }
  return outcome;
}

void DiscoveryCache::OnAddresses(const Response& response, Outcome* outcome) {
  std::vector<std::string> errors;
  for (const Resource& resource : response.resources()) {
    std::string key;
    std::vector<std::string> names;
    absl::StatusOr<Address> address = ParseAddress(resource, &key, &names);
    if (!address.ok()) {
      AddError(resource, address.status(), &errors);
      continue;
    }
    Forget(key);
    KnownAddress& known = addresses_[key];
    known.version = resource.version();
    known.address = std::make_shared<const Address>(*std::move(address));
    known.names = std::move(names);
    for (const std::string& name : known.names) {
      key_by_name_[name] = key;
      outcome->answered.insert(name);
      auto subscription = subscriptions_.find(name);
      if (subscription != subscriptions_.end()) subscription->second = false;
    }
    outcome->upserts.push_back(known.address);
  }
  for (const std::string& name : response.removed_resources()) {
    outcome->answered.insert(name);
    if (addresses_.count(name) > 0) {
      Forget(name);
      outcome->removals.push_back(name);
      continue;
    }
    auto subscription = subscriptions_.find(name);
    if (subscription == subscriptions_.end() || subscription->second) continue;
    // The resource that had the address until now is removed under its own key, before or after.
    subscription->second = true;
    bool own = false;
    for (const std::string& own_name : own_) own = own || own_name == name;
    if (!own) absent_.push_back(name);
  }
  outcome->rejected = absl::StrJoin(errors, "; ");
}

void DiscoveryCache::Forget(const std::string& key) {
  auto known = addresses_.find(key);
  if (known == addresses_.end()) return;
  for (const std::string& name : known->second.names) {
    // Another resource may have taken the address over in the meantime.
    auto holder = key_by_name_.find(name);
    if (holder != key_by_name_.end() && holder->second == key) key_by_name_.erase(holder);
  }
  addresses_.erase(known);
}

void DiscoveryCache::OnPolicies(const Response& response, Outcome* outcome) {
  std::vector<std::string> errors;
  std::map<std::string, KnownPolicy> changed;
  for (const Resource& resource : response.resources()) {
    absl::StatusOr<Authorization> policy = Unpack<Authorization>(resource, kAuthorizationType);
    if (policy.ok() && policy->name().empty()) policy = absl::InvalidArgumentError("no name");
    if (!policy.ok()) {
      AddError(resource, policy.status(), &errors);
      continue;
    }
    const std::string key = absl::StrCat(policy->namespace_(), "/", policy->name());
    changed[key] =
        KnownPolicy{resource.version(), std::make_shared<const Authorization>(*std::move(policy))};
  }
  if (!errors.empty()) {
    outcome->rejected = absl::StrJoin(errors, "; ");
    return;
  }
  for (auto& entry : changed) policies_[entry.first] = std::move(entry.second);
  bool removed = false;
  for (const std::string& name : response.removed_resources()) {
    removed = policies_.erase(name) > 0 || removed;
  }
  outcome->policies_changed = !policies_known_ || !changed.empty() || removed;
  policies_known_ = true;
}

std::vector<AddressPtr> DiscoveryCache::Addresses() const {
  std::vector<AddressPtr> addresses;
  addresses.reserve(addresses_.size());
  for (const auto& entry : addresses_) addresses.push_back(entry.second.address);
  return addresses;
}

std::vector<PolicyPtr> DiscoveryCache::Policies() const {
  std::vector<PolicyPtr> policies;
  policies.reserve(policies_.size());
  for (const auto& entry : policies_) policies.push_back(entry.second.policy);
  return policies;
}

}  // namespace byrnie
