// inject, uninject: the injector's library on files, without a cluster.

#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "ctl/command.h"
#include "ctl/exit_code.h"
#include "ctl/flags.h"
#include "ctl/table.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/json.h"
#include "deploy/injector/manifest.h"

namespace byrnie {
namespace {

absl::StatusOr<std::string> ReadManifest() {
  const std::string path = absl::GetFlag(FLAGS_file);
  if (path.empty()) return InFlag("file", "is missing; give a manifest's file, or - for stdin");
  if (path == "-") {
    return std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  }
  absl::StatusOr<std::string> text = ReadFile(path, kMaxManifest);
  if (!text.ok()) return InFlag("file", text.status().message());
  return text;
}

// What byrniectl is told to inject. A value.
struct Injection {
  InjectorConfig config;
  // Somebody has said where the image is.
  bool image_given = false;
};

bool NamesImage(const std::string& config) {
  const absl::StatusOr<Json> json = ParseJson(config, kMaxInjectorConfig);
  return json.ok() && Find(*json, "image") != nullptr;
}

absl::StatusOr<Injection> ReadConfig() {
  Injection injection;
  InjectorConfig& config = injection.config;
  const std::string path = absl::GetFlag(FLAGS_injector_config);
  if (!path.empty()) {
    absl::StatusOr<std::string> text = ReadFile(path, kMaxInjectorConfig);
    if (!text.ok()) return InFlag("injector_config", text.status().message());
    absl::StatusOr<InjectorConfig> parsed = InjectorConfig::Parse(*text);
    if (!parsed.ok()) {
      return InFlag("injector_config", absl::StrCat(path, ": ", parsed.status().message()));
    }
    config = *std::move(parsed);
    injection.image_given = NamesImage(*text);
  }
  const std::string image = absl::GetFlag(FLAGS_image), revision = absl::GetFlag(FLAGS_revision),
                    sidecars = absl::GetFlag(FLAGS_sidecars);
  if (!image.empty()) {
    config.image = image;
    injection.image_given = true;
  }
  if (!revision.empty()) config.revision = revision;
  if (!sidecars.empty()) config.defaults["sidecars"] = sidecars;
  RETURN_IF_ERROR(config.Check());
  return injection;
}

int Show(const absl::StatusOr<ManifestResult>& result, bool deny_refused) {
  if (!result.ok()) {
    return BadUsage(
        InFlag("file", absl::StrCat(result.status().message(), "; nothing is changed")));
  }
  // What a manifest says cannot speak to the terminal.
  for (const std::string& note : result->notes) {
    std::fprintf(stderr, "byrniectl: %s\n", Printable(note).c_str());
  }
  if (deny_refused && result->refused) return kProblem;
  Print(result->text);
  return kDone;
}

}  // namespace

int RunInject(const CommandContext&) {
  const absl::StatusOr<Injection> injection = ReadConfig();
  if (!injection.ok()) return BadUsage(injection.status());
  const absl::StatusOr<std::string> text = ReadManifest();
  if (!text.ok()) return BadUsage(text.status());
  const InjectorConfig& config = injection->config;
  absl::StatusOr<ManifestResult> result = InjectManifest(config, *text);
  if (result.ok() && !injection->image_given && result->text != *text) {
    result->notes.push_back(absl::StrCat(
        "warning: neither --image nor --injector_config says which image: the pods ask for ",
        config.image, ", which is in no registry"));
  }
  return Show(result, config.deny_refused);
}

int RunUninject(const CommandContext&) {
  const absl::StatusOr<std::string> text = ReadManifest();
  if (!text.ok()) return BadUsage(text.status());
  return Show(UninjectManifest(*text), false);
}

}  // namespace byrnie
