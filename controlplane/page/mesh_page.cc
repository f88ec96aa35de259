#include "controlplane/page/mesh_page.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/crypto/sha256_fingerprint.h"
#include "controlplane/page/mesh_files.h"

namespace byrnie {
namespace {

// Content Security Policy Level 3, section 2.3.1.
std::string HashSource(absl::string_view text) {
  return absl::StrCat("'sha256-",
                      absl::Base64Escape(absl::HexStringToBytes(Sha256FingerprintHex(text))), "'");
}

std::string Policy() {
  return absl::StrCat("default-src 'none'; script-src ", HashSource(kMeshScript), "; style-src ",
                      HashSource(kMeshStyle),
                      "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                      "frame-ancestors 'none'");
}

}  // namespace

MeshPage::MeshPage(const Clock* clock, std::function<MeshState()> gather)
    : html_(absl::StrReplaceAll(kMeshHtml, {{"@STYLE@", kMeshStyle}, {"@SCRIPT@", kMeshScript}})),
      policy_(Policy()),
      gatherer_(clock, [gather = std::move(gather)] { return ToJson(gather()); }) {}

HttpResponse MeshPage::Page() {
  gatherer_.Look();  // The page asks for it in a moment.
  HttpResponse response{200, "text/html; charset=utf-8", html_};
  response.headers = {{"Content-Security-Policy", policy_}, {"Referrer-Policy", "no-referrer"}};
  return response;
}

HttpResponse MeshPage::State() {
  const std::shared_ptr<const std::string> json = gatherer_.Look();
  if (json != nullptr) return HttpResponse{200, "application/json", absl::StrCat(*json, "\n")};
  HttpResponse response{
      503, "application/json",
      "{\"error\":\"nobody has asked lately; it is being gathered, ask again\"}\n"};
  response.headers = {{"Retry-After", "1"}};
  return response;
}

}  // namespace byrnie
