#include "deploy/injector/probe_rewrite.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "common/probe/app_probes.h"
#include "deploy/injector/pod_probes.h"

namespace byrnie {
namespace {

// Of what is written into the pod, twice.
constexpr size_t kMaxText = 32 * 1024;

struct Kind {
  const char* member;
  const char* name;  // The proxy's.
};
constexpr Kind kKinds[] = {
    {"startupProbe", "startup"}, {"readinessProbe", "readiness"}, {"livenessProbe", "liveness"}};

// The action by which the probe connects to the pod; null where there is none.
const char* ActionOf(const Json& probe) {
  for (const char* const action : {"httpGet", "tcpSocket", "grpc"}) {
    const Json* const found = Find(probe, action);
    if (found != nullptr && found->is_object()) return action;
  }
  return nullptr;
}

// The question to the proxy.
Json Question(absl::string_view container, absl::string_view kind) {
  Json get = Json::object();
  get["path"] = absl::StrCat(kAppHealthPrefix, container, "/", kind);
  get["port"] = kStatusPort;
  return get;
}

// Puts `content` as `to` where `from` is among the probe's members.
void Replace(absl::string_view from, absl::string_view to, Json content, Json* probe) {
  Json made = Json::object();
  for (const auto& member : probe->items()) {
    if (member.key() == from) {
      made[std::string(to)] = std::move(content);
    } else {
      made[member.key()] = member.value();
    }
  }
  *probe = std::move(made);
}

// What the proxy needs to know.
Json ForProxy(const Json& probe, const char* action_name, uint16_t port) {
  const Json& action = *Find(probe, action_name);
  Json made = Json::object();
  Json* const said = ObjectIn(&made, action_name);
  for (const char* const member : {"path", "scheme", "service"}) {
    const std::string text = TextOf(action, member);
    if (!text.empty()) (*said)[member] = text;
  }
  (*said)["port"] = port;
  for (const Json& header : ItemsOf(action, "httpHeaders")) {
    Json pair = Json::object();
    pair["name"] = TextOf(header, "name");
    pair["value"] = TextOf(header, "value");
    ArrayIn(said, "httpHeaders")->push_back(std::move(pair));
  }
  const Json* const timeout = Find(probe, "timeoutSeconds");
  if (timeout != nullptr && timeout->is_number_integer() && timeout->get<int64_t>() > 0) {
    made["timeoutSeconds"] = std::min<int64_t>(timeout->get<int64_t>(), kMaxProbeSeconds);
  }
  return made;
}

class Rewriter {
 public:
  void Rewrite(Json* container) {
    const std::string name = TextOf(*container, "name");
    for (const Kind& kind : kKinds) {
      Json* const probe = Find(container, kind.member);
      if (probe == nullptr || !probe->is_object()) continue;
      const std::string why = RewriteOne(*container, name, kind, probe);
      if (!why.empty()) Warn(name, kind, why);
    }
  }

  // Not to be rewritten, whatever they are.
  void Leave(const Json& container, absl::string_view why) {
    for (const Kind& kind : kKinds) {
      const Json* const probe = Find(container, kind.member);
      if (probe != nullptr && ActionOf(*probe) != nullptr) {
        Warn(TextOf(container, "name"), kind, why);
      }
    }
  }

  RewrittenProbes result;

 private:
  void Warn(absl::string_view container, const Kind& kind, absl::string_view why) {
    result.warnings.push_back(absl::StrCat("container ", Shortened(container), ": the ",
                                           kind.member,
                                           " is not rewritten, and its port is declared: ", why));
  }

  // Why not; "" where it is, or where there is nothing to say.
  std::string RewriteOne(const Json& container, const std::string& name, const Kind& kind,
                         Json* probe) {
    const char* const action = ActionOf(*probe);
    if (action == nullptr) return "";
    const Json original = *Find(*probe, action);
    if (!TextOf(original, "host").empty()) return "";
    const absl::optional<uint16_t> port = ResolvePort(container, Find(original, "port"));
    // The first is said by whoever declares ports.
    if (!port.has_value() || IsSidecarPort(*port)) return "";
    Json entry = ForProxy(*probe, action, *port);
    Json alone = Json::object();
    alone[name][kind.name] = entry;
    const std::string text = ToText(alone);
    const absl::Status good = ParseAppProbes(text).status();
    if (!good.ok()) return std::string(good.message());
    size_ += text.size() + ToText(original).size();
    if (size_ > kMaxText) return "it has too much in it";
    result.for_proxy[name][kind.name] = std::move(entry);
    result.originals[name][kind.member][action] = original;
    Replace(action, "httpGet", Question(name, kind.name), probe);
    return "";
  }

  size_t size_ = 0;
};

struct Asked {
  absl::string_view container;
  const Kind* kind;
};

// Which probe of which container a question to the proxy is for, as it was when that was written.
absl::optional<Asked> AskedBy(const Json& probe) {
  const Json* const get = Find(probe, "httpGet");
  const Json* const path = get == nullptr ? nullptr : Find(*get, "path");
  const Json* const port = get == nullptr ? nullptr : Find(*get, "port");
  if (path == nullptr || !path->is_string() || port == nullptr || *port != kStatusPort) {
    return absl::nullopt;
  }
  absl::string_view rest = path->get_ref<const std::string&>();
  const size_t slash = rest.rfind('/');
  if (!absl::ConsumePrefix(&rest, kAppHealthPrefix)) return absl::nullopt;
  const size_t prefix = kAppHealthPrefix.size();
  if (slash < prefix) return Asked{"", nullptr};
  Asked asked{rest.substr(0, slash - prefix), nullptr};
  for (const Kind& kind : kKinds) {
    if (rest.substr(slash - prefix + 1) == kind.name) asked.kind = &kind;
  }
  return asked;
}

}  // namespace

RewrittenProbes RewriteProbes(const std::set<std::string>& ours, bool native, Json* spec) {
  Rewriter rewriter;
  for (const char* const list : {"initContainers", "containers"}) {
    Json* const containers = Find(spec, list);
    if (containers == nullptr || !containers->is_array()) continue;
    for (Json& container : containers->get_ref<Json::array_t&>()) {
      if (ours.count(TextOf(container, "name")) > 0) continue;
      if (native || list == absl::string_view("containers")) {
        rewriter.Rewrite(&container);
      } else {
        rewriter.Leave(container, "its container starts before the proxy");
      }
    }
  }
  return std::move(rewriter.result);
}

void RestoreProbes(const Json& originals, Json* spec) {
  if (!originals.is_object()) return;
  const MemberIndex by_container(originals);
  for (const char* const list : {"initContainers", "containers"}) {
    Json* const containers = Find(spec, list);
    if (containers == nullptr || !containers->is_array()) continue;
    for (Json& container : containers->get_ref<Json::array_t&>()) {
      for (const Kind& kind : kKinds) {
        Json* const probe = Find(&container, kind.member);
        const absl::optional<Asked> asked = probe == nullptr ? absl::nullopt : AskedBy(*probe);
        if (!asked.has_value() || asked->kind == nullptr) continue;
        const Json* const of = by_container.Find(asked->container);
        const Json* const original = of == nullptr ? nullptr : Find(*of, asked->kind->member);
        const char* const action = original == nullptr ? nullptr : ActionOf(*original);
        if (action != nullptr) Replace("httpGet", action, *Find(*original, action), probe);
      }
    }
  }
}

std::string FindQuestion(const Json& spec) {
  for (const char* const list : {"initContainers", "containers"}) {
    for (const Json& container : ItemsOf(spec, list)) {
      for (const Kind& kind : kKinds) {
        const Json* const probe = Find(container, kind.member);
        if (probe == nullptr || !AskedBy(*probe).has_value()) continue;
        return absl::StrCat("container ", Shortened(TextOf(container, "name")), ": its ",
                            kind.member);
      }
    }
  }
  return "";
}

std::string AppProbesText(const Json& for_proxy) {
  // A dollar is within a string, wherever it is.
  return absl::StrReplaceAll(ToText(for_proxy), {{"$", "\\u0024"}});
}

}  // namespace byrnie
