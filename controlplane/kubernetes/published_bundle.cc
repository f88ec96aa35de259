#include "controlplane/kubernetes/published_bundle.h"

#include "common/base/status_macros.h"

namespace byrnie {

absl::StatusOr<PublishedBundle> ParsePublishedBundle(const JsonValue& value) {
  PublishedBundle bundle;
  ASSIGN_OR_RETURN(const JsonObject object, value.AsObject());
  ASSIGN_OR_RETURN(const JsonObject metadata, object.GetObject("metadata"));
  ASSIGN_OR_RETURN(bundle.name.name, metadata.GetString("name"));
  ASSIGN_OR_RETURN(bundle.name.ns, metadata.GetString("namespace"));
  if (!object.Has("data")) return bundle;
  ASSIGN_OR_RETURN(const JsonObject data, object.GetObject("data"));
  ASSIGN_OR_RETURN(bundle.pem, data.GetStringOr(PublishedBundle::kKey, ""));
  return bundle;
}

}  // namespace byrnie
