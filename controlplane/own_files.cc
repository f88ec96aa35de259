#include "controlplane/own_files.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "common/crypto/pem.h"
#include "controlplane/start_checks.h"

namespace byrnie {
namespace {

constexpr size_t kMostRead = 1024 * 1024;
// RFC 4648 section 5, of 32 bytes.
constexpr size_t kTokenSize = 43;
// What SQLite keeps beside a database, and we do.
constexpr const char* kBesideDatabase[] = {"", "-wal", "-shm", "-journal", ".lock"};
// Of --ca=plugged:DIRECTORY.
constexpr const char* kPlugged[] = {"ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem"};

std::string RealPath(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), &::free);
  return real == nullptr ? "" : real.get();
}

// One text for all ways to write the path, also of a file that is not there yet.
std::string PlaceOf(const std::string& path) {
  const std::string real = RealPath(path);
  if (!real.empty()) return real;
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : path.substr(0, slash);
  const std::string real_folder = RealPath(folder);
  if (real_folder.empty()) return path;
  return absl::StrCat(real_folder, "/", slash == std::string::npos ? path : path.substr(slash + 1));
}

bool IsSameFile(const std::string& a, const std::string& b) {
  struct stat of_a, of_b;
  if (::stat(a.c_str(), &of_a) == 0 && ::stat(b.c_str(), &of_b) == 0) {
    return of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
  }
  return PlaceOf(a) == PlaceOf(b);
}

// The files of a flag.
struct Files {
  absl::string_view flag;
  std::vector<std::string> paths;
};

// None where there is no path.
Files One(absl::string_view flag, const std::string& path) {
  return {flag, path.empty() ? std::vector<std::string>() : std::vector<std::string>{path}};
}

Files Database(absl::string_view flag, const std::string& path) {
  Files files{flag, {}};
  if (path.empty()) return files;
  for (const char* suffix : kBesideDatabase) files.paths.push_back(absl::StrCat(path, suffix));
  return files;
}

Files All(absl::string_view flag, const std::vector<TrustFiles::File>& named) {
  Files files{flag, {}};
  for (const TrustFiles::File& file : named) files.paths.push_back(file.path);
  return files;
}

std::vector<Files> Written(const ControlPlaneOptions& options) {
  return {One("trust_bundle_out", options.trust_bundle_out),
          One("operator_token_out", options.operator_token_out),
          Database("issuance_spool", options.issuance_spool),
          Database("store", options.store.sqlite_path)};
}

std::vector<Files> Read(const ControlPlaneOptions& options,
                        const std::vector<std::string>& jwk_files) {
  Files jwt = One("jwt_config", options.jwt_config_path);
  jwt.paths.insert(jwt.paths.end(), jwk_files.begin(), jwk_files.end());
  Files plugged{"ca", {}};
  if (!options.plugged_ca.empty()) {
    for (const char* name : kPlugged) {
      plugged.paths.push_back(absl::StrCat(options.plugged_ca, "/", name));
    }
  }
  return {One("store_key", options.store_key_path),
          One("store_key_previous", options.store_key_previous_path),
          One("registry", options.registry_path),
          std::move(jwt),
          std::move(plugged),
          One("etcd_ca", options.store.etcd_ca_path),
          One("etcd_cert", options.store.etcd_cert_path),
          One("etcd_key", options.store.etcd_key_path),
          One("kubeconfig", options.kubeconfig),
          One("injector_config", options.injector_config_path),
          One("config", options.config_path),
          All("federated_bundle", options.federated_bundles),
          All("crl", options.crls)};
}

absl::Status CheckApart(const Files& written, const Files& other) {
  for (const std::string& path : written.paths) {
    for (const std::string& taken : other.paths) {
      if (!IsSameFile(path, taken)) continue;
      return InFlag(written.flag,
                    absl::InvalidArgumentError(absl::StrCat(
                        "\"", path, "\" is also ", path == taken ? "" : absl::StrCat(taken, ", "),
                        "a file of --", other.flag, ", and one would be written over the other")),
                    "; give each a path of its own");
    }
  }
  return absl::OkStatus();
}

// A bundle as it is written: certificates and nothing else.
bool IsBundle(absl::string_view text) {
  const auto blocks = ParsePem(text, "CERTIFICATE", "certificate", kMostRead);
  if (!blocks.ok()) return false;
  std::string again, there(text);
  for (const std::string& der : *blocks) absl::StrAppend(&again, ToPem(der, "CERTIFICATE"));
  for (std::string* each : {&again, &there}) {
    each->erase(std::remove_if(each->begin(), each->end(),
                               [](unsigned char c) { return absl::ascii_isspace(c); }),
                each->end());
  }
  return again == there;
}

bool IsToken(absl::string_view text) {
  const absl::string_view token = absl::StripAsciiWhitespace(text);
  return token.size() == kTokenSize && std::all_of(token.begin(), token.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_';
         });
}

// Whether what is at `path` is what an earlier process would have written there.
absl::Status CheckKind(absl::string_view flag, const std::string& path, absl::string_view kind,
                       const std::function<bool(absl::string_view)>& is_of_kind) {
  if (path.empty()) return absl::OkStatus();
  const absl::StatusOr<SecretBytes> content = ReadSecretFile(path, kMostRead);
  if (absl::IsNotFound(content.status())) return absl::OkStatus();
  constexpr char kRemedy[] = "; give a path where nothing else is, or remove what nobody needs";
  if (!content.ok()) return InFlag(flag, content.status(), kRemedy);
  if (absl::StripAsciiWhitespace(content->view()).empty() || is_of_kind(content->view())) {
    return absl::OkStatus();
  }
  return InFlag(flag,
                absl::InvalidArgumentError(absl::StrCat("\"", path, "\" is there, is no ", kind,
                                                        ", and would be written over")),
                kRemedy);
}

}  // namespace

absl::Status CheckOwnFiles(const ControlPlaneOptions& options,
                           const std::vector<std::string>& jwk_files) {
  const std::vector<Files> written = Written(options), read = Read(options, jwk_files);
  for (size_t i = 0; i < written.size(); ++i) {
    for (size_t j = i + 1; j < written.size(); ++j) {
      RETURN_IF_ERROR(CheckApart(written[i], written[j]));
    }
    for (const Files& other : read) RETURN_IF_ERROR(CheckApart(written[i], other));
  }
  RETURN_IF_ERROR(CheckKind("trust_bundle_out", options.trust_bundle_out,
                            "trust bundle (certificates, PEM)", IsBundle));
  return CheckKind("operator_token_out", options.operator_token_out, "operator's token", IsToken);
}

}  // namespace byrnie
