#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_WEBHOOK_CONFIGURATION_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_WEBHOOK_CONFIGURATION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/json.h"
#include "controlplane/kubernetes/informer.h"

namespace byrnie {

// A MutatingWebhookConfiguration, as far as it says whom the API server is to trust. A value.
struct WebhookConfiguration {
  struct Webhook {
    std::string name;
    // Base64 of PEM; empty: whoever the host of the API server trusts.
    std::string ca_bundle;
    friend bool operator==(const Webhook& a, const Webhook& b) {
      return a.name == b.name && a.ca_bundle == b.ca_bundle;
    }
  };
  ObjectName name;
  std::vector<Webhook> webhooks;
  friend bool operator==(const WebhookConfiguration& a, const WebhookConfiguration& b) {
    return a.name == b.name && a.webhooks == b.webhooks;
  }
};

// InvalidArgument names a member that has not the type that the API gives it.
absl::StatusOr<WebhookConfiguration> ParseWebhookConfiguration(const JsonValue& value);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_WEBHOOK_CONFIGURATION_H_
