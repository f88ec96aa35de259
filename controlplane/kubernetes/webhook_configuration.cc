#include "controlplane/kubernetes/webhook_configuration.h"

#include <utility>

#include "common/base/status_macros.h"

namespace byrnie {

absl::StatusOr<WebhookConfiguration> ParseWebhookConfiguration(const JsonValue& value) {
  WebhookConfiguration configuration;
  ASSIGN_OR_RETURN(const JsonObject object, value.AsObject());
  ASSIGN_OR_RETURN(const JsonObject metadata, object.GetObject("metadata"));
  ASSIGN_OR_RETURN(configuration.name.name, metadata.GetString("name"));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> webhooks, object.GetArrayOrEmpty("webhooks"));
  for (const JsonValue& element : webhooks) {
    ASSIGN_OR_RETURN(const JsonObject webhook, element.AsObject());
    ASSIGN_OR_RETURN(const JsonObject client, webhook.GetObject("clientConfig"));
    WebhookConfiguration::Webhook known;
    ASSIGN_OR_RETURN(known.name, webhook.GetString("name"));
    ASSIGN_OR_RETURN(known.ca_bundle, client.GetStringOr("caBundle", ""));
    configuration.webhooks.push_back(std::move(known));
  }
  return configuration;
}

}  // namespace byrnie
