#include "ctl/flag_texts.h"

namespace byrnie {
namespace {

struct FlagTextEntry {
  absl::string_view command, flag, text;
};

constexpr absl::string_view kInstalledNamespace =
    "the control plane's namespace; empty: where it is installed, else byrnie-system";
constexpr absl::string_view kInstalledImage =
    "image of the sidecars and of the control plane; empty: what is installed, or the manifests'";
constexpr absl::string_view kInstalledInjectorConfig =
    "file with what injected pods are told of their mesh (JSON, see docs/kubernetes.md); empty: "
    "what is installed, or what the manifests have";

constexpr FlagTextEntry kTexts[] = {
    {"issuances", "identity", "only what was issued to this SPIFFE ID"},
    {"policy validate", "file", "file with the policy, JSON; \"-\" is stdin; -f for short"},
    {"policy apply", "file", "file with the policy, JSON; \"-\" is stdin; -f for short"},
    {"inject", "file", "file with the manifest; \"-\" is stdin; -f for short"},
    {"uninject", "file", "file with the manifest; \"-\" is stdin; -f for short"},
    {"bug-report", "file",
     "the file to write; \"-\" is stdout; empty: byrnie-bug-report.tar; -f for short"},
    {"bug-report", "force", "replace a file that is there"},
    {"uninstall", "force", "also while pods have a sidecar"},
    {"token revoke", "join", "NAME is the id of a join token, as token list --join shows it"},
    {"check", "namespace", kInstalledNamespace},
    {"install", "namespace", kInstalledNamespace},
    {"manifests", "namespace", "the control plane's namespace; empty: byrnie-system"},
    {"install", "dry_run",
     "change nothing, and say what would become of each object, as the API server says"},
    {"uninstall", "dry_run",
     "change nothing, and say what would become of each object, as the API server says"},
    {"install", "wait", "end when the control plane is ready, and say meanwhile where it stands"},
    {"install", "timeout", "with --wait, how long at most, such as 90s; 5m unless told otherwise"},
    {"check", "image", kInstalledImage},
    {"install", "image", kInstalledImage},
    {"manifests", "image",
     "image of the sidecars and of the control plane, instead of the manifests'"},
    {"check", "injector_config", kInstalledInjectorConfig},
    {"install", "injector_config", kInstalledInjectorConfig},
    {"ready", "admin", "where the page is reached, IP:PORT"},
};

}  // namespace

absl::string_view FlagTextOf(absl::string_view command, absl::string_view flag) {
  for (const FlagTextEntry& entry : kTexts) {
    if (entry.command == command && entry.flag == flag) return entry.text;
  }
  return "";
}

}  // namespace byrnie
