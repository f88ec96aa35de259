#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_HTTP_PROXY_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_HTTP_PROXY_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/base/secret_bytes.h"

namespace byrnie {

// An HTTP proxy that is asked by CONNECT to pass on what it cannot read. Move-only.
struct HttpProxy {
  // A host name or an IP address without brackets.
  std::string host;
  uint16_t port = 80;
  // "USER:PASSWORD"; empty: it asks for none.
  SecretBytes credentials;

  // "proxy.example:3128", "[fd00::1]:3128".
  std::string Authority() const;
};

// "HOST", "HOST:PORT", "[ADDRESS]:PORT"; `port` stays where none is given. InvalidArgument.
absl::Status ParseHostAndPort(absl::string_view text, std::string* host, uint16_t* port);
// "10.96.0.1:443", "[fd00::1]:443".
std::string JoinHostAndPort(absl::string_view host, uint16_t port);

// "http://[USER:PASSWORD@]HOST[:PORT][/]". InvalidArgument, without the password, for what is none,
// and for proxies that are asked otherwise: https, socks5.
absl::StatusOr<HttpProxy> ParseProxyUrl(absl::string_view url);

// The proxy for https://HOST:PORT as the environment has it (empty: not set): HTTPS_PROXY, but for
// what NO_PROXY names, both also in small letters, and for this machine itself. None: there is
// none. InvalidArgument names the variable.
absl::StatusOr<absl::optional<HttpProxy>> ProxyOfEnvironment(
    const std::function<std::string(absl::string_view name)>& get_environment,
    absl::string_view host, uint16_t port);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_HTTP_PROXY_H_
