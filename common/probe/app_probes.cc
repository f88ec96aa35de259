#include "common/probe/app_probes.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

constexpr size_t kMaxProbes = 256;
constexpr size_t kMaxName = 63;
// What a server takes is less.
constexpr size_t kMaxHeaders = 64;
constexpr size_t kMaxService = 4096;

// As Kubernetes names containers (RFC 1123).
bool IsContainerName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxName &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
         });
}

// A token of RFC 9110 section 5.6.2.
bool IsFieldName(absl::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("!#$%&'*+-.^_`|~", absl::string_view(&c, 1));
  });
}

// RFC 9110 section 5.5: nothing that could end the line.
bool IsFieldValue(absl::string_view value) {
  return std::none_of(value.begin(), value.end(),
                      [](char c) { return absl::ascii_iscntrl(c) && c != '\t'; });
}

absl::Status ParseHeaders(const JsonObject& action, AppProbe* probe) {
  ASSIGN_OR_RETURN(const std::vector<JsonValue> headers, action.GetArrayOrEmpty("httpHeaders"));
  if (headers.size() > kMaxHeaders) {
    return action.value().Error(absl::StrCat("more than ", kMaxHeaders, " headers"));
  }
  for (const JsonValue& value : headers) {
    ASSIGN_OR_RETURN(const JsonObject header, value.AsObject());
    RETURN_IF_ERROR(header.CheckKeys({"name", "value"}));
    ASSIGN_OR_RETURN(std::string name, header.GetString("name"));
    ASSIGN_OR_RETURN(std::string content, header.GetStringOr("value", ""));
    if (!IsFieldName(name)) return value.Error("not the name of a header");
    if (!IsFieldValue(content)) return value.Error("a header's value with a control character");
    for (const char* const framing : {"content-length", "transfer-encoding", "connection"}) {
      if (absl::EqualsIgnoreCase(name, framing)) {
        return value.Error(absl::StrCat("the header ", name, " is the connection's"));
      }
    }
    probe->headers.emplace_back(std::move(name), std::move(content));
  }
  return absl::OkStatus();
}

absl::Status ParseAction(const JsonObject& object, AppProbe* probe) {
  const bool http = object.Has("httpGet"), grpc = object.Has("grpc"),
             connect = object.Has("tcpSocket");
  if (http + grpc + connect != 1) {
    return object.value().Error("expected one of httpGet, tcpSocket and grpc");
  }
  ASSIGN_OR_RETURN(const JsonObject action, object.GetObject(http   ? "httpGet"
                                                             : grpc ? "grpc"
                                                                    : "tcpSocket"));
  ASSIGN_OR_RETURN(const int64_t port, action.GetInt("port", 1, 65535));
  probe->url.port = static_cast<uint16_t>(port);
  if (connect) return action.CheckKeys({"port"});
  if (grpc) {
    probe->action = AppProbe::Action::kGrpc;
    ASSIGN_OR_RETURN(probe->service, action.GetStringOr("service", ""));
    if (probe->service.size() > kMaxService) {
      return action.value().Error(absl::StrCat("a service of more than ", kMaxService, " bytes"));
    }
    return action.CheckKeys({"port", "service"});
  }
  probe->action = AppProbe::Action::kHttp;
  RETURN_IF_ERROR(action.CheckKeys({"port", "path", "scheme", "httpHeaders"}));
  ASSIGN_OR_RETURN(const std::string path, action.GetStringOr("path", "/"));
  probe->url.target = ProbeTarget(path);
  ASSIGN_OR_RETURN(const std::string scheme, action.GetStringOr("scheme", "HTTP"));
  if (scheme != "HTTP" && scheme != "HTTPS") {
    return action.value().Error(absl::StrCat("scheme ", scheme, "; expected HTTP or HTTPS"));
  }
  probe->url.https = scheme == "HTTPS";
  return ParseHeaders(action, probe);
}

}  // namespace

std::string AppProbe::Name() const { return absl::StrCat(container, "/", kind); }

std::string AppProbe::Path() const { return absl::StrCat(kAppHealthPrefix, Name()); }

absl::StatusOr<std::vector<AppProbe>> ParseAppProbes(absl::string_view text) {
  std::vector<AppProbe> probes;
  if (text.empty()) return probes;
  ASSIGN_OR_RETURN(const JsonValue root, JsonValue::Parse(text, kMaxAppProbesText));
  ASSIGN_OR_RETURN(const JsonObject containers, root.AsObject());
  for (const auto& [container, value] : containers.Members()) {
    if (!IsContainerName(container)) return value.Error("not the name of a container");
    ASSIGN_OR_RETURN(const JsonObject kinds, value.AsObject());
    RETURN_IF_ERROR(kinds.CheckKeys({"startup", "readiness", "liveness"}));
    for (const auto& [kind, member] : kinds.Members()) {
      ASSIGN_OR_RETURN(const JsonObject object, member.AsObject());
      RETURN_IF_ERROR(object.CheckKeys({"httpGet", "tcpSocket", "grpc", "timeoutSeconds"}));
      AppProbe probe;
      probe.container = container;
      probe.kind = kind;
      RETURN_IF_ERROR(ParseAction(object, &probe));
      ASSIGN_OR_RETURN(const int64_t seconds,
                       object.GetIntOr("timeoutSeconds", 1, kMaxProbeSeconds, 1));
      probe.timeout = absl::Seconds(seconds);
      probes.push_back(std::move(probe));
    }
  }
  if (probes.size() > kMaxProbes) {
    return root.Error(
        absl::StrCat(probes.size(), " probes; at most ", kMaxProbes, " are possible"));
  }
  return probes;
}

}  // namespace byrnie
