// install, uninstall, manifests, and check --pre: Byrnie in a Kubernetes cluster, by its API.

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/json_writer.h"
#include "common/base/status_macros.h"
#include "ctl/check_result.h"
#include "ctl/command.h"
#include "ctl/exit_code.h"
#include "ctl/flags.h"
#include "ctl/install/cluster_api.h"
#include "ctl/install/cluster_connection.h"
#include "ctl/install/install_settings.h"
#include "ctl/install/installed_settings.h"
#include "ctl/install/installer.h"
#include "ctl/install/kubeconfig.h"
#include "ctl/install/kubernetes_version.h"
#include "ctl/install/manifests.h"
#include "ctl/install/preflight.h"
#include "ctl/install/tried_pod.h"
#include "ctl/install/uninstaller.h"
#include "ctl/table.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/yaml_reader.h"

namespace byrnie {
namespace {

constexpr absl::Duration kLookEvery = absl::Seconds(1);
constexpr absl::Duration kDefaultWait = absl::Minutes(5);
constexpr const char* kOverlays[] = {"sqlite", "etcd"};

// The ExitCode for what the API server says, or does not.
int FailedThere(const absl::Status& status) {
  const bool silent = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
  return silent ? NotReached(status) : Failed(status);
}

std::string Environment(absl::string_view name) {
  const char* const value = ::getenv(std::string(name).c_str());
  return value == nullptr ? "" : value;
}

std::string NamespaceFlag() {
  const std::string ns = absl::GetFlag(FLAGS_namespace);
  return ns.empty() ? std::string(kDefaultNamespace) : ns;
}

absl::StatusOr<InstallSettings> ReadSettings(const CommandContext& context) {
  InstallSettings settings;
  settings.ns = NamespaceFlag();
  settings.image = absl::GetFlag(FLAGS_image);
  settings.image_pull_secrets = absl::GetFlag(FLAGS_image_pull_secret);
  settings.pull_secrets_given = context.given.count("image_pull_secret") != 0;
  settings.trust_domain = absl::GetFlag(FLAGS_trust_domain);
  settings.etcd = absl::GetFlag(FLAGS_etcd);
  settings.architecture = absl::GetFlag(FLAGS_architecture);
  settings.size = {absl::GetFlag(FLAGS_memory_limit), absl::GetFlag(FLAGS_memory_request),
                   absl::GetFlag(FLAGS_cpu_request), absl::GetFlag(FLAGS_volume_size),
                   absl::GetFlag(FLAGS_storage_class)};
  settings.revision = absl::GetFlag(FLAGS_revision);
  settings.sidecars = absl::GetFlag(FLAGS_sidecars);
  const std::string config = absl::GetFlag(FLAGS_injector_config);
  if (!config.empty()) {
    absl::StatusOr<std::string> text = ReadFile(config, kMaxInjectorConfig);
    if (!text.ok()) return InFlag("injector_config", text.status().message());
    settings.injector_config = *std::move(text);
  }
  RETURN_IF_ERROR(CheckInstallSettings(settings));
  return settings;
}

ManifestReader Reader() {
  const std::string directory = absl::GetFlag(FLAGS_manifests);
  return directory.empty() ? ManifestReader(ReadEmbeddedManifest) : ManifestsIn(directory);
}

// Of --overlay, where nothing is installed.
std::string OverlayFlag() {
  const std::string overlay = absl::GetFlag(FLAGS_overlay);
  return overlay.empty() ? kOverlays[0] : overlay;
}

absl::StatusOr<std::vector<Json>> Render(const std::string& overlay) {
  absl::StatusOr<std::vector<Json>> objects = RenderOverlay(Reader(), overlay);
  if (objects.ok()) return objects;
  const bool embedded = absl::GetFlag(FLAGS_manifests).empty();
  if (embedded && absl::IsNotFound(objects.status())) {
    return InFlag("overlay",
                  absl::StrCat("\"", overlay, "\" is not one of ", absl::StrJoin(kOverlays, ", ")));
  }
  return InFlag("manifests", objects.status().message());
}

// All that install makes or has made of this release's manifests.
absl::StatusOr<std::vector<Json>> KnownObjects(const std::string& of_overlay) {
  ASSIGN_OR_RETURN(std::vector<Json> known, Render(of_overlay));
  for (const char* overlay : kOverlays) {
    ASSIGN_OR_RETURN(std::vector<Json> more, RenderOverlay(ReadEmbeddedManifest, overlay));
    for (Json& object : more) known.push_back(std::move(object));
  }
  return known;
}

absl::StatusOr<std::unique_ptr<ClusterConnection>> Connect() {
  absl::StatusOr<ApiServer> server =
      FindApiServer(absl::GetFlag(FLAGS_kubeconfig), absl::GetFlag(FLAGS_context), Environment);
  if (!server.ok()) return InFlag("kubeconfig", server.status().message());
  return ClusterConnection::Create(*std::move(server));
}

// Of --namespace; where it was not given, where Byrnie is, else the manifests'.
absl::Status ChooseNamespace(ClusterApi* cluster, InstallSettings* settings) {
  if (!absl::GetFlag(FLAGS_namespace).empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string installed, FindInstalledNamespace(cluster));
  if (!installed.empty()) settings->ns = installed;
  return absl::OkStatus();
}

// What becomes of the flags where something may be installed already.
absl::StatusOr<SettingsPlan> Plan(const CommandContext& context, ClusterApi* cluster,
                                  const InstallSettings& settings) {
  AskedSettings asked;
  asked.settings = settings;
  // The environment may have said it, too.
  asked.trust_domain_given = context.given.count("trust_domain") != 0 ||
                             settings.trust_domain != InstallSettings().trust_domain;
  asked.overlay = absl::GetFlag(FLAGS_overlay);
  asked.own_manifests = !absl::GetFlag(FLAGS_manifests).empty();
  ASSIGN_OR_RETURN(const InstalledSettings installed, FindInstalledSettings(cluster, settings.ns));
  return PlanSettings(asked, installed);
}

std::string NameOf(const InstallStep& step) {
  return absl::StrCat(step.kind, " ", step.ns, step.ns.empty() ? "" : "/", step.name);
}

// Tells of each step when it is done, or for scripts of all of them at the end.
class StepList {
 public:
  StepList(bool json, bool dry_run) : json_(json), dry_run_(dry_run) {}

  void Add(const InstallStep& step) {
    steps_.push_back(step);
    if (json_) return;
    std::string outcome = OutcomeName(step.outcome, dry_run_);
    outcome.resize(std::max<size_t>(outcome.size(), dry_run_ ? 16 : 9), ' ');
    std::string line = absl::StrCat(outcome, "  ", NameOf(step));
    const bool kept = step.outcome == InstallStep::Outcome::kKept;
    if (kept) absl::StrAppend(&line, ": ", absl::StrJoin(step.details, ", "));
    absl::StrAppend(&line, "\n");
    for (const std::string& detail : step.details) {
      if (!kept) absl::StrAppend(&line, "    ", Printable(detail), "\n");
    }
    Print(line);
  }

  void Finish() const {
    if (!json_) return;
    JsonWriter json(JsonWriter::Style::kPretty);
    json.BeginArray();
    for (const InstallStep& step : steps_) {
      json.BeginObject()
          .Field("outcome", OutcomeName(step.outcome, dry_run_))
          .Field("kind", step.kind)
          .Field("namespace", step.ns)
          .Field("name", step.name)
          .Key("details")
          .BeginArray();
      for (const std::string& detail : step.details) json.Value(detail);
      json.EndArray().EndObject();
    }
    json.EndArray();
    Print(std::move(json).Finish() + "\n");
  }

  bool Has(InstallStep::Outcome outcome, absl::string_view name) const {
    for (const InstallStep& step : steps_) {
      if (step.outcome == outcome && step.name == name) return true;
    }
    return false;
  }

 private:
  const bool json_, dry_run_;
  std::vector<InstallStep> steps_;
};

// Until `look` finds that nothing is awaited any more, or --timeout: `too_late` is said then.
int WaitUntil(const std::function<absl::StatusOr<std::string>()>& look,
              absl::string_view too_late) {
  const SystemClock clock;
  absl::Duration patience = absl::GetFlag(FLAGS_timeout);
  if (patience == absl::InfiniteDuration()) patience = kDefaultWait;
  const absl::Duration end = clock.MonotonicNow() + patience;
  std::string said;
  while (true) {
    const absl::StatusOr<std::string> awaited = look();
    if (awaited.ok() && awaited->empty()) return kDone;
    // While it is upgraded itself, an API server may be away for a moment.
    if (!awaited.ok() && !absl::IsUnavailable(awaited.status()))
      return FailedThere(awaited.status());
    const std::string now = awaited.ok() ? *awaited : std::string(awaited.status().message());
    if (now != said) Note(absl::StrCat("byrniectl: waiting: ", Printable(now), "\n"));
    said = now;
    if (clock.MonotonicNow() >= end) {
      Note(absl::StrCat("byrniectl: it is not ready after ", ShortDuration(patience), "; ",
                        too_late, "\n"));
      return kHeldUp;
    }
    absl::SleepFor(kLookEvery);
  }
}

// Until the control plane is ready.
int WaitForControlPlane(ClusterApi* cluster, const std::string& ns) {
  const int waited = WaitUntil([cluster, &ns] { return WhatIsAwaited(cluster, ns); },
                               absl::StrCat("kubectl -n ", ns, " describe pods"));
  if (waited == kDone) Note("byrniectl: the control plane is ready\n");
  return waited;
}

// Until new pods get the sidecars of the injector's configuration in `objects`; `settled` says
// whether one does, or there are none.
int WaitForSidecars(ClusterApi* cluster, const std::vector<Json>& objects, bool* settled) {
  for (const Json& object : objects) {
    if (!IsInjectorConfig(object)) continue;
    const Json* const data = Find(object, "data");
    const absl::StatusOr<InjectorConfig> config =
        InjectorConfig::Parse(data == nullptr ? "" : TextOf(*data, kInjectorKey));
    if (!config.ok()) continue;
    const auto look = [cluster, &config, settled]() -> absl::StatusOr<std::string> {
      ASSIGN_OR_RETURN(NewPods pods, LookAtNewPods(cluster, *config));
      *settled = pods.settled;
      return pods.awaited;
    };
    return WaitUntil(look, "byrniectl check --pre says whether the webhook answers");
  }
  return kDone;
}

void SayWhatIsNext(const StepList& steps, const std::string& ns) {
  if (steps.Has(InstallStep::Outcome::kCreated, kStoreKeySecret)) {
    Note(absl::StrCat("byrniectl: keep a copy of the Secret ", ns, "/", kStoreKeySecret,
                      " elsewhere: without it the CA is lost\n"));
  }
  if (steps.Has(InstallStep::Outcome::kCreated, "byrnie-injector")) {
    Note(
        "byrniectl: next, label a namespace: kubectl label namespace NAME "
        "byrnie.io/inject=true\n");
  }
}

// `untried`: it was waited for, and no pod could be tried.
void SayWhatForgetsPreviousImage(const Installer& installer, const std::string& ns, bool untried) {
  const std::string by_wait =
      untried ? "No pod could be tried, so that byrniectl does not know when it may go"
              : absl::StrCat("byrniectl install --wait takes it out, given again",
                             installer.several_control_planes()
                                 ? absl::StrCat(" ", absl::ToInt64Minutes(kKubeletsBringIt),
                                                " minutes from now")
                                 : "",
                             ", when it has seen a new pod");
  Note(absl::StrCat("byrniectl: the redirect of new pods may still have the image before, ",
                    Printable(installer.previous_image()),
                    " (previous-image in the ConfigMap byrnie-injector). ", by_wait,
                    "; once all new pods have the other: ", ForgetPreviousImageByHand(ns), "\n"));
}

int Install(const CommandContext& context, ClusterApi* cluster, const SettingsPlan& plan) {
  InstallSettings settings = plan.settings;
  const absl::StatusOr<Json> version = GetObject(cluster, "/version");
  if (!version.ok()) return FailedThere(version.status());
  const absl::StatusOr<int> minor = MinorVersion(*version);
  if (minor.ok()) {
    const std::string chosen = ChooseSidecars(*minor, ListObjects(cluster, "/api/v1/nodes", ""),
                                              plan.installed_sidecars, &settings);
    if (!chosen.empty()) Note(absl::StrCat("byrniectl: ", Printable(chosen), "\n"));
  }
  absl::StatusOr<std::vector<Json>> objects = Render(plan.overlay);
  if (!objects.ok()) return BadUsage(objects.status());
  const absl::Status applied = ApplyInstallSettings(settings, &*objects);
  if (!applied.ok()) return BadUsage(applied);
  if (minor.ok()) ApplyServerVersion(*minor, &*objects);
  absl::StatusOr<std::vector<Json>> known = KnownObjects(plan.overlay);
  if (!known.ok()) return BadUsage(known.status());
  if (!plan.kept.empty()) {
    Note(absl::StrCat("byrniectl: as it is installed: ", Printable(absl::StrJoin(plan.kept, ", ")),
                      "\n"));
  }
  if (!plan.changed.empty()) {
    Note(absl::StrCat("byrniectl: another way than it is installed: ",
                      Printable(absl::StrJoin(plan.changed, ", ")), "\n"));
  }
  InstallOptions options;
  options.dry_run = absl::GetFlag(FLAGS_dry_run);
  options.force = absl::GetFlag(FLAGS_force);
  options.trust_domain = settings.trust_domain;
  options.now = SystemClock().WallNow();
  StepList steps(context.json, options.dry_run);
  ResourceTypes types(cluster);
  Installer installer(cluster, &types, options,
                      [&steps](const InstallStep& step) { steps.Add(step); });
  absl::Status done = installer.Run(settings.ns, *objects, *std::move(known));
  const bool wait = absl::GetFlag(FLAGS_wait) && !options.dry_run;
  if (done.ok() && wait && installer.holds_back()) {
    const int waited = WaitForControlPlane(cluster, settings.ns);
    if (waited != kDone) {
      steps.Finish();
      Note(
          "byrniectl: the injector's configuration is as it was: new pods get the sidecars that "
          "they got. Give the same command again\n");
      return waited;
    }
  }
  if (done.ok()) done = installer.Finish();
  steps.Finish();
  if (!done.ok()) return FailedThere(done);
  if (options.dry_run) return installer.changed() ? kChanges : kDone;
  SayWhatIsNext(steps, settings.ns);
  int waited = kDone;
  bool settled = false;
  if (wait && !installer.holds_back()) waited = WaitForControlPlane(cluster, settings.ns);
  if (wait && installer.holds_back()) {
    waited = WaitForSidecars(cluster, *objects, &settled);
    // What was to be installed is: that this fails changes no exit code.
    const absl::Status forgotten =
        waited == kDone && settled ? installer.ForgetPreviousImage() : absl::OkStatus();
    if (!forgotten.ok()) Note(absl::StrCat("byrniectl: ", Printable(forgotten.message()), "\n"));
  }
  if (!installer.previous_image().empty()) {
    SayWhatForgetsPreviousImage(installer, settings.ns, wait && waited == kDone && !settled);
  }
  return waited;
}

}  // namespace

int RunInstall(const CommandContext& context) {
  absl::StatusOr<InstallSettings> settings = ReadSettings(context);
  if (!settings.ok()) return BadUsage(settings.status());
  const absl::StatusOr<std::unique_ptr<ClusterConnection>> cluster = Connect();
  if (!cluster.ok()) return BadUsage(cluster.status());
  const absl::Status chosen = ChooseNamespace(cluster->get(), &*settings);
  if (!chosen.ok()) return FailedThere(chosen);
  const absl::StatusOr<SettingsPlan> plan = Plan(context, cluster->get(), *settings);
  if (!plan.ok()) return FailedThere(plan.status());
  if (!plan->refused.ok()) {
    return Failed(
        absl::FailedPreconditionError(absl::StrCat(plan->refused.message(), "; ", plan->remedy)));
  }
  return Install(context, cluster->get(), *plan);
}

int RunUninstall(const CommandContext& context) {
  absl::StatusOr<std::vector<Json>> known = KnownObjects(OverlayFlag());
  if (!known.ok()) return BadUsage(known.status());
  Json secret = Json::object();
  secret["apiVersion"] = "v1";
  secret["kind"] = "Secret";
  known->push_back(std::move(secret));
  const absl::StatusOr<std::unique_ptr<ClusterConnection>> cluster = Connect();
  if (!cluster.ok()) return BadUsage(cluster.status());
  UninstallOptions options;
  options.dry_run = absl::GetFlag(FLAGS_dry_run);
  options.force = absl::GetFlag(FLAGS_force);
  options.purge = absl::GetFlag(FLAGS_purge);
  StepList steps(context.json, options.dry_run);
  ResourceTypes types(cluster->get());
  Uninstaller uninstaller(cluster->get(), &types, options,
                          [&steps](const InstallStep& step) { steps.Add(step); });
  const absl::Status done = uninstaller.Run(*known);
  steps.Finish();
  if (!done.ok()) return FailedThere(done);
  if (!uninstaller.found()) Note("byrniectl: there is nothing here that byrniectl has installed\n");
  return kDone;
}

int RunManifests(const CommandContext& context) {
  const absl::StatusOr<InstallSettings> settings = ReadSettings(context);
  if (!settings.ok()) return BadUsage(settings.status());
  absl::StatusOr<std::vector<Json>> objects = Render(OverlayFlag());
  if (!objects.ok()) return BadUsage(objects.status());
  const absl::Status applied = ApplyInstallSettings(*settings, &*objects);
  if (!applied.ok()) return BadUsage(applied);
  for (const Json& object : *objects) Print(absl::StrCat("---\n", WriteYaml(object)));
  return kDone;
}

bool ChecksClusterAlone() { return absl::GetFlag(FLAGS_pre); }

int RunClusterCheck(const CommandContext& context) {
  absl::StatusOr<InstallSettings> settings = ReadSettings(context);
  if (!settings.ok()) return BadUsage(settings.status());
  absl::StatusOr<std::vector<Json>> rendered = Render(OverlayFlag());
  if (!rendered.ok()) return BadUsage(rendered.status());
  const absl::StatusOr<std::unique_ptr<ClusterConnection>> cluster = Connect();
  if (!cluster.ok()) return BadUsage(cluster.status());
  // Where it cannot be looked for, that is one of the results.
  ChooseNamespace(cluster->get(), &*settings).IgnoreError();
  absl::StatusOr<SettingsPlan> plan = Plan(context, cluster->get(), *settings);
  if (plan.ok() && plan->refused.ok() && plan->overlay != OverlayFlag()) {
    rendered = Render(plan->overlay);
    if (!rendered.ok()) return BadUsage(rendered.status());
  }
  ResourceTypes types(cluster->get());
  absl::StatusOr<ClusterFacts> facts =
      GatherClusterFacts(cluster->get(), &types, settings->ns, *rendered);
  if (!facts.ok()) return FailedThere(facts.status());
  facts->settings = std::move(plan);
  LookForPullSecrets(cluster->get(), &*facts);
  LookForPodsOnUnfitNodes(cluster->get(), &*facts);
  std::vector<CheckResult> results = {
      {"api-server", CheckResult::Outcome::kGood, absl::StrCat((*cluster)->Url(), " answers"), ""}};
  for (CheckResult& result : CheckCluster(*facts)) results.push_back(std::move(result));
  Print(context.json ? ChecksJson(results) : ChecksText(results));
  return AnyBad(results) ? kProblem : kDone;
}

}  // namespace byrnie
