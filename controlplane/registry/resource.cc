#include "controlplane/registry/resource.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/sha256_fingerprint.h"
#include "controlplane/registry/content_checker.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace byrnie {
namespace {

// Bits enough that no two contents of a name meet, and characters that a string keeps without
// memory of its own.
constexpr size_t kVersionSize = 15;

// Map fields in a fixed order, or the same content would get another version each time.
std::string Serialize(const google::protobuf::MessageLite& message) {
  std::string bytes;
  bytes.reserve(message.ByteSizeLong());  // Fills the cached sizes, too.
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeWithCachedSizes(&coded);
  }
  bytes.shrink_to_fit();
  return bytes;
}

ResourcePtr Make(RegistrySource source, ResourceKind kind, std::string name,
                 const google::protobuf::MessageLite& message, std::vector<std::string> aliases) {
  auto resource = std::make_shared<Resource>();
  resource->name = std::move(name);
  resource->payload = Serialize(message);
  resource->version = Sha256FingerprintHex(resource->payload).substr(0, kVersionSize);
  aliases.shrink_to_fit();
  resource->aliases = std::move(aliases);
  resource->kind = kind;
  resource->source = source;
  return resource;
}

istio::workload::Address Parse(const Resource& resource) {
  istio::workload::Address address;
  if (TypeOf(resource.kind) == ResourceType::kAddress) address.ParseFromString(resource.payload);
  return address;
}

absl::string_view NameOf(ResourceKind kind) {
  switch (kind) {
    case ResourceKind::kWorkload:
      return "workload";
    case ResourceKind::kService:
      return "service";
    case ResourceKind::kPolicy:
      return "policy";
  }
  return "resource";
}

absl::string_view OriginOf(RegistrySource source) {
  switch (source) {
    case RegistrySource::kFile:
      return "of the registry file";
    case RegistrySource::kApi:
    case RegistrySource::kApiEntries:
      return "that was applied through the API";
    case RegistrySource::kKubernetes:
      return "of the cluster";
  }
  return "";
}

}  // namespace

bool IsStandInVersion(absl::string_view version) {
  return absl::StartsWith(version, kStandInVersionPrefix);
}

absl::string_view ResourceTypeUrl(ResourceType type) {
  return type == ResourceType::kAddress ? "type.googleapis.com/istio.workload.Address"
                                        : "type.googleapis.com/istio.security.Authorization";
}

ResourceType TypeOf(ResourceKind kind) {
  return kind == ResourceKind::kPolicy ? ResourceType::kAuthorization : ResourceType::kAddress;
}

ResourcePtr MakeResource(RegistrySource source, const istio::workload::Workload& workload) {
  std::vector<std::string> aliases;
  for (const std::string& address : workload.addresses()) {
    aliases.push_back(AddressKey(workload.network(), address));
  }
  istio::workload::Address message;
  *message.mutable_workload() = workload;
  return Make(source, ResourceKind::kWorkload, workload.uid(), message, std::move(aliases));
}

ResourcePtr MakeResource(RegistrySource source, const istio::workload::Service& service) {
  std::vector<std::string> aliases;
  for (const auto& address : service.addresses()) {
    aliases.push_back(AddressKey(address.network(), address.address()));
  }
  istio::workload::Address message;
  *message.mutable_service() = service;
  return Make(source, ResourceKind::kService, ServiceKey(service), message, std::move(aliases));
}

ResourcePtr MakeResource(RegistrySource source, const istio::security::Authorization& policy) {
  return Make(source, ResourceKind::kPolicy, PolicyKey(policy), policy, {});
}

istio::workload::Workload WorkloadOf(const Resource& resource) {
  return std::move(*Parse(resource).mutable_workload());
}

istio::workload::Service ServiceOf(const Resource& resource) {
  return std::move(*Parse(resource).mutable_service());
}

std::string Describe(const Resource& resource) {
  return absl::StrCat(NameOf(resource.kind), " \"", resource.name, "\" ",
                      OriginOf(resource.source));
}

}  // namespace byrnie
