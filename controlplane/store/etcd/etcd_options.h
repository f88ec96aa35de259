#ifndef BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_OPTIONS_H_
#define BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// Where an etcd is, and what of it is ours.
struct EtcdOptions {
  // "HOST:PORT" of its members, at least one.
  std::vector<std::string> endpoints;
  // TLS to all of them.
  bool tls = false;
  // What all our keys begin with, so that others have room beside us. Ends with a slash.
  std::string prefix;
  // For TLS, PEM: whom to trust, and, where the etcd asks for a certificate, who we are.
  std::string ca_pem, cert_pem, key_pem;
};

// Reads "URL[,URL...][/PREFIX]", each URL "http://HOST[:PORT]" or "https://HOST[:PORT]"; the path
// of the last one is the prefix, "byrnie" where there is none. InvalidArgument says what is wrong.
absl::StatusOr<EtcdOptions> ParseEtcdUrls(absl::string_view text);

// True when what is sent to one of the endpoints leaves the machine unencrypted.
bool SendsInTheClear(const EtcdOptions& options);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_OPTIONS_H_
