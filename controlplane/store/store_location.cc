#include "controlplane/store/store_location.h"

#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "controlplane/store/etcd/etcd_store.h"
#include "controlplane/store/sqlite_store.h"

namespace byrnie {
namespace {

constexpr size_t kMaxPem = 1 << 20;
// A mounted Secret is root's, and its reader's group reads it.
constexpr mode_t kOpenToOthers = 0037;

absl::Status Invalid(absl::string_view flag, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", what));
}

absl::Status ReadPem(absl::string_view flag, const std::string& path, std::string* pem) {
  if (path.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> text = ReadFile(path, kMaxPem);
  if (!text.ok()) {
    return absl::Status(text.status().code(),
                        absl::StrCat("--", flag, ": ", text.status().message()));
  }
  *pem = *std::move(text);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Store>> OpenSqlite(const std::string& path, Logger* logger,
                                                  bool* created) {
  SqliteStore::Found found;
  ASSIGN_OR_RETURN(std::unique_ptr<Store> store, SqliteStore::Open(path, &found));
  *created = found.created;
  if (found.loose_mode.has_value()) {
    logger->Warning(
        "others could get at the store, which holds the CA key; its mode is 0600 now, but a key "
        "that was read stays known: consider a new --store",
        {{"path", path}, {"mode", absl::StrFormat("%04o", *found.loose_mode)}});
  }
  return store;
}

}  // namespace

absl::StatusOr<StoreLocation> ParseStoreLocation(absl::string_view store, std::string etcd_ca,
                                                 std::string etcd_cert, std::string etcd_key) {
  StoreLocation location;
  if (store.empty()) {
    return Invalid("store", "is missing; give --store=sqlite:FILE or --store=etcd:URL");
  }
  absl::string_view rest = store;
  if (absl::ConsumePrefix(&rest, "sqlite:") && !rest.empty()) {
    location.sqlite_path = std::string(rest);
  } else if (absl::ConsumePrefix(&rest, "etcd:") && !rest.empty()) {
    absl::StatusOr<EtcdOptions> etcd = ParseEtcdUrls(rest);
    if (!etcd.ok()) return Invalid("store", etcd.status().message());
    location.etcd = *std::move(etcd);
  } else {
    return Invalid("store", absl::StrCat("\"", store, "\" is neither sqlite:FILE nor etcd:URL"));
  }
  location.etcd_ca_path = std::move(etcd_ca);
  location.etcd_cert_path = std::move(etcd_cert);
  location.etcd_key_path = std::move(etcd_key);
  const bool tls = location.etcd.has_value() && location.etcd->tls;
  for (const auto& [flag, path] : {std::pair("etcd_ca", &location.etcd_ca_path),
                                   std::pair("etcd_cert", &location.etcd_cert_path),
                                   std::pair("etcd_key", &location.etcd_key_path)}) {
    if (!path->empty() && !tls) return Invalid(flag, "is for --store=etcd:https://... alone");
  }
  if (tls && location.etcd_ca_path.empty()) {
    return Invalid("etcd_ca", "is missing; give the PEM file of the CA that vouches for the etcd");
  }
  if (location.etcd_cert_path.empty() != location.etcd_key_path.empty()) {
    return Invalid(location.etcd_cert_path.empty() ? "etcd_cert" : "etcd_key",
                   "is missing; a certificate and its key go together");
  }
  return location;
}

absl::StatusOr<std::unique_ptr<Store>> OpenStore(const StoreLocation& location, const Clock* clock,
                                                 Logger* logger, bool* created) {
  *created = false;
  if (!location.etcd.has_value()) return OpenSqlite(location.sqlite_path, logger, created);
  EtcdOptions options = *location.etcd;
  RETURN_IF_ERROR(ReadPem("etcd_ca", location.etcd_ca_path, &options.ca_pem));
  RETURN_IF_ERROR(ReadPem("etcd_cert", location.etcd_cert_path, &options.cert_pem));
  RETURN_IF_ERROR(ReadPem("etcd_key", location.etcd_key_path, &options.key_pem));
  if (SendsInTheClear(options)) {
    logger->Warning(
        "the etcd is not on this machine and its URL is http: the CA key crosses the "
        "network unencrypted; give https URLs and --etcd_ca");
  }
  if (!location.etcd_key_path.empty()) {
    const absl::optional<mode_t> loose = LooseMode(location.etcd_key_path);
    if (loose.has_value() && (*loose & kOpenToOthers) != 0) {
      logger->Warning(
          "others can get at the key that opens the etcd, where the CA key is",
          {{"path", location.etcd_key_path}, {"mode", absl::StrFormat("%04o", *loose)}});
    }
  }
  return EtcdStore::Open(options, clock);
}

}  // namespace byrnie
