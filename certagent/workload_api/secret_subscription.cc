#include "certagent/workload_api/secret_subscription.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

absl::Status CheckType(const std::string& type_url) {
  if (type_url.empty() || type_url == kSecretTypeUrl) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("this service has resources of type ", kSecretTypeUrl, " alone"));
}

template <typename Names>
absl::Status CheckNames(const Names& names) {
  for (const std::string& name : names) {
    if (name.empty() || name.size() > kMaxSecretNameLength) {
      return absl::InvalidArgumentError(absl::StrCat("a resource name of ", name.size(), " bytes"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckCount(size_t count) {
  if (count <= kMaxSecretNames) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(count, " resource names; at most ", kMaxSecretNames, " are taken"));
}

template <typename Request>
SecretFeedback Feedback(const Request& request, bool rejected) {
  SecretFeedback feedback;
  feedback.nonce = request.response_nonce();
  if (rejected) {
    feedback.error = request.error_detail().message().substr(0, 512);
    if (feedback.error.empty()) feedback.error = "no reason given";
  }
  return feedback;
}

}  // namespace

absl::StatusOr<absl::optional<SecretFeedback>> SecretSubscription::OnRequest(
    const Request& request) {
  RETURN_IF_ERROR(CheckType(request.type_url()));
  // Before what it costs to look at them.
  RETURN_IF_ERROR(CheckCount(request.resource_names_size()));
  RETURN_IF_ERROR(CheckNames(request.resource_names()));
  absl::optional<SecretFeedback> feedback;
  if (!nonce_.empty()) {
    if (request.response_nonce() != nonce_) return feedback;
    // A client that says nothing of an error, but did not move to our version, has rejected it too.
    feedback = Feedback(request, request.has_error_detail() || request.version_info() != version_);
  }
  std::vector<std::string> names;
  for (const std::string& name : request.resource_names()) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  wildcard_ = names.empty() && (!started_ || wildcard_);
  started_ = true;
  if (!wildcard_) {
    // What is no longer wanted is sent again when it is wanted again.
    for (auto it = sent_.begin(); it != sent_.end();) {
      const bool wanted = std::find(names.begin(), names.end(), it->first) != names.end();
      it = wanted ? std::next(it) : sent_.erase(it);
    }
  }
  names_ = std::move(names);
  return feedback;
}

absl::optional<SecretSubscription::Response> SecretSubscription::Next(
    const SecretCatalog* catalog) {
  if (!started_ || catalog == nullptr) return absl::nullopt;
  const std::vector<std::string> names = wildcard_ ? catalog->DefaultNames() : names_;
  std::map<std::string, std::string> current;
  bool news = false;
  for (const std::string& name : names) {
    std::string version = catalog->VersionOf(name);
    const auto sent = sent_.find(name);
    news = news || version != (sent == sent_.end() ? "" : sent->second);
    current.emplace(name, std::move(version));
  }
  for (const auto& entry : sent_) {
    news = news || (!entry.second.empty() && current.find(entry.first) == current.end());
  }
  if (!news) return absl::nullopt;
  sent_ = std::move(current);
  version_ = catalog->version();
  nonce_ = absl::StrCat(++last_nonce_);
  Response response;
  response.set_version_info(version_);
  response.set_type_url(kSecretTypeUrl);
  response.set_nonce(nonce_);
  for (const std::string& name : names) {
    if (!sent_[name].empty()) *response.add_resources() = catalog->Resource(name);
  }
  return response;
}

absl::StatusOr<absl::optional<SecretFeedback>> DeltaSecretSubscription::OnRequest(
    const Request& request) {
  RETURN_IF_ERROR(CheckType(request.type_url()));
  RETURN_IF_ERROR(CheckCount(request.resource_names_subscribe_size()));
  RETURN_IF_ERROR(CheckCount(request.initial_resource_versions_size()));
  RETURN_IF_ERROR(CheckNames(request.resource_names_subscribe()));
  absl::optional<SecretFeedback> feedback;
  if (!nonce_.empty() && request.response_nonce() == nonce_) {
    feedback = Feedback(request, request.has_error_detail());
  }
  const bool first = !started_;
  started_ = true;
  if (first && request.resource_names_subscribe().empty()) wildcard_ = true;
  for (const std::string& name : request.resource_names_subscribe()) {
    if (name == "*") {
      wildcard_ = true;
      continue;
    }
    // Who asks again for what it has wants it again.
    names_.insert(name);
    sent_.erase(name);
  }
  for (const std::string& name : request.resource_names_unsubscribe()) {
    if (name == "*") {
      wildcard_ = false;
    } else {
      names_.erase(name);
    }
    sent_.erase(name);
  }
  if (!wildcard_) {
    for (auto it = sent_.begin(); it != sent_.end();) {
      it = names_.find(it->first) != names_.end() ? std::next(it) : sent_.erase(it);
    }
  }
  if (first) {
    for (const auto& entry : request.initial_resource_versions()) {
      if (wildcard_ || names_.find(entry.first) != names_.end()) {
        sent_[entry.first] = entry.second;
      }
    }
  }
  RETURN_IF_ERROR(CheckCount(names_.size()));
  return feedback;
}

absl::optional<DeltaSecretSubscription::Response> DeltaSecretSubscription::Next(
    const SecretCatalog* catalog) {
  if (!started_ || catalog == nullptr) return absl::nullopt;
  std::set<std::string> names = names_;
  if (wildcard_) {
    for (std::string& name : catalog->DefaultNames()) names.insert(std::move(name));
  }
  Response response;
  std::map<std::string, std::string> current;
  for (const std::string& name : names) {
    std::string version = catalog->VersionOf(name);
    const auto sent = sent_.find(name);
    if (sent == sent_.end() || sent->second != version) {
      if (version.empty()) {
        response.add_removed_resources(name);
      } else {
        auto* resource = response.add_resources();
        resource->set_name(name);
        resource->set_version(version);
        *resource->mutable_resource() = catalog->Resource(name);
      }
    }
    current.emplace(name, std::move(version));
  }
  // Of the wildcard, and gone.
  for (const auto& entry : sent_) {
    if (!entry.second.empty() && names.find(entry.first) == names.end()) {
      response.add_removed_resources(entry.first);
    }
  }
  sent_ = std::move(current);
  if (response.resources().empty() && response.removed_resources().empty()) return absl::nullopt;
  nonce_ = absl::StrCat(++last_nonce_);
  response.set_system_version_info(catalog->version());
  response.set_type_url(kSecretTypeUrl);
  response.set_nonce(nonce_);
  return response;
}

}  // namespace byrnie
