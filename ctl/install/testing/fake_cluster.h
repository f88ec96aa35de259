#ifndef BYRNIE_CTL_INSTALL_TESTING_FAKE_CLUSTER_H_
#define BYRNIE_CTL_INSTALL_TESTING_FAKE_CLUSTER_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "ctl/install/cluster_api.h"
#include "deploy/injector/json.h"

namespace byrnie {

// An API server in memory, with objects by their paths: gets, lists by the labels that a selector
// names and by the name of a field selector, creates, applies (as a merge of what is given into
// what is there, without members that were given the last time alone, unless they are in
// `of_others`, too), merges patches, deletes. It answers what it knows; what a test has put into
// `answers` comes first: by "METHOD PATH", and of what is only tried by "dry-run METHOD PATH".
class FakeCluster final : public ClusterApi {
 public:
  FakeCluster() {
    Serve("/api/v1", {{"Namespace", "namespaces", false},
                      {"ServiceAccount", "serviceaccounts", true},
                      {"Service", "services", true},
                      {"ConfigMap", "configmaps", true},
                      {"Secret", "secrets", true}});
    Serve("/apis/rbac.authorization.k8s.io/v1",
          {{"ClusterRole", "clusterroles", false},
           {"ClusterRoleBinding", "clusterrolebindings", false},
           {"Role", "roles", true},
           {"RoleBinding", "rolebindings", true}});
    Serve("/apis/apps/v1", {{"StatefulSet", "statefulsets", true}});
    Serve("/apis/policy/v1", {{"PodDisruptionBudget", "poddisruptionbudgets", true}});
    Serve("/apis/networking.k8s.io/v1", {{"NetworkPolicy", "networkpolicies", true}});
    Serve("/apis/scheduling.k8s.io/v1", {{"PriorityClass", "priorityclasses", false}});
    Serve("/apis/apiextensions.k8s.io/v1",
          {{"CustomResourceDefinition", "customresourcedefinitions", false}});
    Serve("/apis/admissionregistration.k8s.io/v1",
          {{"MutatingWebhookConfiguration", "mutatingwebhookconfigurations", false}});
  }

  struct Kind {
    const char* kind;
    const char* plural;
    bool namespaced;
  };
  void Serve(const std::string& root, const std::vector<Kind>& kinds) {
    Json list = Json::object();
    Json* const resources = ArrayIn(&list, "resources");
    for (const Kind& kind : kinds) {
      Json resource = Json::object();
      resource["name"] = kind.plural;
      resource["kind"] = kind.kind;
      resource["namespaced"] = kind.namespaced;
      resources->push_back(resource);
      resource["name"] = absl::StrCat(kind.plural, "/status");
      resource["kind"] = "Status";
      resources->push_back(resource);
    }
    answers["GET " + root] = {200, ToText(list)};
  }

  absl::StatusOr<ApiResponse> Call(ApiRequest request) override {
    const std::pair<std::string, std::string> split =
        absl::StrSplit(request.target, absl::MaxSplits('?', 1));
    const std::string& path = split.first;
    const std::string& query = split.second;
    const std::string asked = absl::StrCat(request.method, " ", path);
    calls.push_back(absl::StrCat(request.method, " ", request.target));
    const bool dry_run = absl::StrContains(query, "dryRun=All");
    const auto answer_of_trial =
        dry_run ? answers.find(absl::StrCat("dry-run ", asked)) : answers.end();
    const auto answer = answer_of_trial == answers.end() ? answers.find(asked) : answer_of_trial;
    if (answer != answers.end()) return Answer(answer->second.first, answer->second.second);
    if (request.method == "POST") return Create(path, request.body, dry_run);
    if (request.content_type == "application/merge-patch+json") {
      const auto patched = objects.find(path);
      if (patched == objects.end()) return Answer(404, R"({"message": "not found"})");
      patched->second.merge_patch(*ParseJson(request.body, request.body.size()));
      return Answer(200, ToText(patched->second));
    }
    if (request.method == "PATCH") return Apply(path, request.body, dry_run);
    const auto found = objects.find(path);
    if (found == objects.end() && request.method == "GET" && IsList(path)) {
      return Answer(200, List(path, query));
    }
    if (found == objects.end()) return Answer(404, R"({"message": "not found"})");
    const std::string text = ToText(found->second);
    if (request.method == "DELETE") objects.erase(found);
    return Answer(200, text);
  }

  // How often something other than a GET was asked that is no dry run.
  size_t Changes() const {
    size_t count = 0;
    for (const std::string& call : calls) {
      if (!absl::StartsWith(call, "GET ") && !absl::StrContains(call, "dryRun=All")) ++count;
    }
    return count;
  }

  std::map<std::string, Json> objects;
  // What others have written of those, by the same paths.
  std::map<std::string, Json> of_others;
  std::map<std::string, std::pair<int, std::string>> answers;
  std::vector<std::string> calls;

 private:
  static ApiResponse Answer(int status, std::string body) {
    ApiResponse response;
    response.status = status;
    response.body = std::move(body);
    return response;
  }
  // "/api/v1/pods", "/api/v1/namespaces/a/pods", and those of groups.
  static bool IsList(absl::string_view path) {
    if (!absl::ConsumePrefix(&path, "/api/")) absl::ConsumePrefix(&path, "/apis/");
    std::vector<std::string> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
    const size_t before = absl::StrContains(parts.front(), '.') || parts.front() == "apps" ||
                                  parts.front() == "policy"
                              ? 2
                              : 1;
    if (parts.size() <= before) return false;
    const size_t rest = parts.size() - before;
    return rest == 1 || (rest == 3 && parts[before] == "namespaces");
  }
  std::string List(const std::string& path, const std::string& query) const {
    const std::string plural = path.substr(path.rfind('/') + 1);
    const std::string root =
        path.substr(0, path.find("/namespaces/") == std::string::npos ? path.rfind('/')
                                                                      : path.find("/namespaces/"));
    Json list = Json::object();
    Json* const items = ArrayIn(&list, "items");
    for (const auto& [where, object] : objects) {
      const size_t end = where.rfind('/');
      const std::string of = where.substr(0, end);
      const bool within = of == path || (!absl::StrContains(path, "/namespaces/") &&
                                         of.substr(of.rfind('/') + 1) == plural &&
                                         absl::StartsWith(of, root + "/namespaces/"));
      if (!within || !Selected(object, query)) continue;
      Json item = object;
      Remove(&item, "kind");
      items->push_back(std::move(item));
    }
    return ToText(list);
  }
  static bool Selected(const Json& object, const std::string& query) {
    constexpr absl::string_view kByName = "fieldSelector=metadata.name%3d";
    const size_t by_name = query.find(std::string(kByName));
    if (by_name != std::string::npos) {
      const size_t name = by_name + kByName.size();
      if (ObjectNameOf(object) != query.substr(name, query.find('&', name) - name)) return false;
    }
    const size_t begin = query.find("labelSelector=");
    if (begin == std::string::npos) return true;
    const std::string selector = absl::StrReplaceAll(
        query.substr(begin + 14, query.find('&', begin) - begin - 14),
        {{"%3d", "="}, {"%3D", "="}, {"%2f", "/"}, {"%2F", "/"}, {"%2c", ","}, {"%2C", ","}});
    const Json* const labels = FindPath(object, {"metadata", "labels"});
    for (const absl::string_view wanted : absl::StrSplit(selector, ',')) {
      const std::pair<std::string, std::string> pair =
          absl::StrSplit(wanted, absl::MaxSplits('=', 1));
      const std::string value = labels == nullptr ? "" : TextOf(*labels, pair.first);
      if (value.empty() || (!pair.second.empty() && value != pair.second)) return false;
    }
    return true;
  }
  ApiResponse Create(const std::string& path, const std::string& body, bool dry_run) {
    const Json object = ParseJson(body, body.size()).value_or(Json());
    const std::string where = absl::StrCat(path, "/", ObjectNameOf(object));
    if (objects.count(where) != 0) return Answer(409, R"({"message": "already exists"})");
    if (!dry_run) objects[where] = object;
    return Answer(201, ToText(object));
  }
  ApiResponse Apply(const std::string& path, const std::string& body, bool dry_run) {
    const Json given = ParseJson(body, body.size()).value_or(Json());
    const bool there = objects.count(path) != 0;
    Json merged = there ? objects[path] : Json::object();
    if (there) {
      RemoveGone(&merged, applied_[path], given);
      MergeInto(&merged, of_others[path]);
    }
    MergeInto(&merged, given);
    if (!dry_run) {
      objects[path] = merged;
      applied_[path] = given;
    }
    return Answer(there ? 200 : 201, ToText(merged));
  }
  // Members that were applied before and are not any more.
  static void RemoveGone(Json* from, const Json& before, const Json& now) {
    if (!from->is_object() || !before.is_object()) return;
    for (const auto& member : before.items()) {
      const Json* const still = Find(now, member.key());
      Json* const there = Find(from, member.key());
      if (there == nullptr) continue;
      if (still == nullptr) {
        Remove(from, member.key());
      } else {
        RemoveGone(there, member.value(), *still);
      }
    }
  }
  static void MergeInto(Json* into, const Json& from) {
    for (const auto& member : from.items()) {
      Json& mine = (*into)[member.key()];
      if (mine.is_object() && member.value().is_object()) {
        MergeInto(&mine, member.value());
      } else {
        mine = member.value();
      }
    }
  }

  // What was applied last, by paths.
  std::map<std::string, Json> applied_;
};

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_TESTING_FAKE_CLUSTER_H_
