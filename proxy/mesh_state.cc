#include "proxy/mesh_state.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "common/crypto/certificate.h"
#include "common/crypto/revocation_list.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {
namespace {

// Which policies select the workloads of this pod: what decides beside the policies themselves.
std::vector<const Workload*> OwnWorkloads(const MeshSnapshot& mesh) {
  std::vector<const Workload*> workloads;
  for (const IpAddress& address : *mesh.own_addresses) {
    const Workload* workload = mesh.routes->FindWorkload(address);
    if (workload != nullptr) workloads.push_back(workload);
  }
  return workloads;
}

// Of the policies, those that may concern this pod: of its namespace, where that is known, and of
// the whole mesh.
std::string OwnPolicies(const MeshSnapshot& mesh, const link::v1::PolicyUpdate& update) {
  const absl::string_view ns =
      mesh.identity == nullptr ? "" : mesh.identity->identity->id().k8s_namespace();
  link::v1::PolicyUpdate own;
  for (const istio::security::Authorization& policy : update.policies()) {
    if (policy.scope() == istio::security::GLOBAL || ns.empty() || policy.namespace_() == ns) {
      *own.add_policies() = policy;
    }
  }
  return own.SerializeAsString();
}

// Counts one until the last copy has gone.
std::shared_ptr<Gauge> CountWhileHeld(Gauge* gauge) {
  gauge->Add(1);
  return std::shared_ptr<Gauge>(gauge, [](Gauge* counted) { counted->Add(-1); });
}

// The context, with which `held` lives as long.
std::shared_ptr<const TlsContext> Together(std::shared_ptr<const TlsContext> context,
                                           std::shared_ptr<Gauge> held) {
  using Pair = std::pair<std::shared_ptr<const TlsContext>, std::shared_ptr<Gauge>>;
  const auto pair = std::make_shared<const Pair>(std::move(context), std::move(held));
  return {pair, pair->first.get()};
}

}  // namespace

MeshState::MeshState(EventLoop* loop, Signer* signer, ReadAddresses read_addresses,
                     ProxyMetrics* metrics, Logger* logger, Publish publish)
    : loop_(loop),
      signer_(signer),
      read_addresses_(std::move(read_addresses)),
      metrics_(metrics),
      logger_(logger),
      publish_(std::move(publish)) {}

void MeshState::Commit(absl::AnyInvocable<void(MeshSnapshot& next)> change) {
  auto next = std::make_shared<MeshSnapshot>(*snapshot_);
  absl::StatusOr<absl::flat_hash_set<IpAddress>> addresses = read_addresses_();
  if (!addresses.ok()) {
    logger_->Warning("keeping the pod's known addresses",
                     {{"error", addresses.status().message()}});
  } else if (*addresses != *next->own_addresses) {
    next->own_addresses =
        std::make_shared<const absl::flat_hash_set<IpAddress>>(*std::move(addresses));
    // Where this pod is decides what is near it.
    routes_.SetOwnAddresses(*next->own_addresses);
    next->routes = routes_.Build();
  }
  change(*next);
  // Tables share their entries, so an unchanged workload is the same object.
  if (next->policies != snapshot_->policies || OwnWorkloads(*next) != OwnWorkloads(*snapshot_)) {
    ++next->policy_version;
  }
  snapshot_ = std::move(next);
  publish_(snapshot_);
}

absl::StatusOr<IdentitySnapshotPtr> MeshState::ToIdentity(const link::v1::IdentityUpdate& update) {
  CertificateChain chain;
  for (const std::string& der : update.certificate_chain()) {
    ASSIGN_OR_RETURN(CertificatePtr certificate, Certificate::FromDer(der));
    chain.push_back(std::move(certificate));
  }
  TrustBundleMap bundles;
  for (const link::v1::Bundle& bundle : update.bundles()) {
    std::vector<CertificatePtr>& roots = bundles[bundle.trust_domain()].roots;
    if (!roots.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("two bundles of trust domain ", bundle.trust_domain()));
    }
    for (const std::string& der : bundle.roots()) {
      ASSIGN_OR_RETURN(CertificatePtr certificate, Certificate::FromDer(der));
      roots.push_back(std::move(certificate));
    }
    for (const std::string& der : bundle.crls()) {
      ASSIGN_OR_RETURN(RevocationListPtr list, RevocationList::FromDer(der));
      bundles[bundle.trust_domain()].crls.push_back(std::move(list));
    }
  }
  ASSIGN_OR_RETURN(TrustBundleSet set, TrustBundleSet::Create(std::move(bundles)));
  absl::optional<absl::Duration> clock_offset;
  if (update.has_clock_offset_ms()) clock_offset = absl::Milliseconds(update.clock_offset_ms());
  return IdentitySnapshot::Create(generation_ + 1, std::move(chain), std::move(set),
                                  loop_->WallNow(), clock_offset);
}

absl::Status MeshState::ApplyIdentity(const link::v1::IdentityUpdate& update) {
  const absl::Status status = TryIdentity(update);
  if (!status.ok()) metrics_->identity_rejected->Increment();
  return status;
}

absl::Status MeshState::TryIdentity(const link::v1::IdentityUpdate& update) {
  link::v1::IdentityUpdate content = update;
  content.clear_generation();
  content.clear_clock_offset_ms();
  std::string bytes = content.SerializeAsString();
  if (snapshot_->identity != nullptr && bytes == identity_bytes_) return absl::OkStatus();
  ASSIGN_OR_RETURN(IdentitySnapshotPtr identity, ToIdentity(update));
  if (snapshot_->identity != nullptr && snapshot_->identity->identity->id() != identity->id()) {
    // One pod is one workload: another name is a mistake or an attack, not a rotation.
    return absl::InvalidArgumentError(
        absl::StrCat("the identity would change from ", snapshot_->identity->identity->id().text(),
                     " to ", identity->id().text(), "; restart the proxy if that is meant"));
  }
  auto in_use = std::make_shared<IdentityInUse>();
  const std::shared_ptr<Gauge> held = CountWhileHeld(metrics_->identities_held);
  ASSIGN_OR_RETURN(in_use->client,
                   TlsContext::Create(TlsRole::kClient, kHboneAlpn, identity, signer_));
  ASSIGN_OR_RETURN(in_use->server,
                   TlsContext::Create(TlsRole::kServer, kHboneAlpn, identity, signer_));
  ASSIGN_OR_RETURN(in_use->direct_client,
                   TlsContext::Create(TlsRole::kClient, kDirectAlpn, identity, signer_));
  ASSIGN_OR_RETURN(in_use->direct_server,
                   TlsContext::Create(TlsRole::kServer, kDirectAlpn, identity, signer_));
  for (std::shared_ptr<const TlsContext>* context :
       {&in_use->client, &in_use->server, &in_use->direct_client, &in_use->direct_server}) {
    *context = Together(std::move(*context), held);
  }
  in_use->identity = identity;
  metrics_->identity_accepted->Increment();
  metrics_->certificate_expiry->Set(absl::ToUnixSeconds(identity->not_after()));
  const RevocationListAges ages = AgesOf(identity->bundles());
  metrics_->crl_this_update->Set(ages.oldest_this_update);
  metrics_->crl_next_update->Set(ages.earliest_next_update);
  ++generation_;
  identity_bytes_ = std::move(bytes);
  logger_->Info("identity in force", {{"id", identity->id().text()},
                                      {"generation", identity->generation()},
                                      {"serial", identity->leaf().SerialHex()},
                                      {"not_after", UtcText(identity->not_after())}});
  Commit([&](MeshSnapshot& next) { next.identity = std::move(in_use); });
  return absl::OkStatus();
}

absl::Status MeshState::ApplyPolicies(const link::v1::PolicyUpdate& update) {
  link::v1::PolicyUpdate content = update;
  content.clear_epoch();
  std::string bytes = content.SerializeAsString();
  if (snapshot_->policies != nullptr && bytes == policy_bytes_) return absl::OkStatus();
  absl::StatusOr<std::shared_ptr<const PolicySet>> policies =
      PolicySet::Create(policy_epoch_ + 1, update.policies());
  if (!policies.ok()) {
    metrics_->policy_rejected->Increment();
    return policies.status();
  }
  ++policy_epoch_;
  policy_bytes_ = std::move(bytes);
  metrics_->policy_accepted->Increment();
  metrics_->policy_epoch->Set(static_cast<int64_t>(policy_epoch_));
  logger_->Info("policies in force",
                {{"epoch", policy_epoch_}, {"policies", (*policies)->policies().size()}});
  std::string own_bytes = OwnPolicies(*snapshot_, update);
  const bool own = own_bytes != own_policy_bytes_;
  own_policy_bytes_ = std::move(own_bytes);
  Commit([&](MeshSnapshot& next) {
    next.policies = *std::move(policies);
    // An edit for others is no reason to make this pod's tunnels anew.
    if (own) ++next.own_policy_epoch;
  });
  return absl::OkStatus();
}

absl::Status MeshState::ApplyAddresses(const link::v1::AddressUpdate& update) {
  for (const absl::Status& status : routes_.Apply(update)) {
    metrics_->address_rejected->Increment();
    logger_->Error("rejected an address resource", {{"error", status.message()}});
  }
  metrics_->address_accepted->Increment();
  Commit([&](MeshSnapshot& next) { next.routes = routes_.Build(); });
  metrics_->workloads->Set(static_cast<int64_t>(snapshot_->routes->workload_count()));
  metrics_->services->Set(static_cast<int64_t>(snapshot_->routes->service_count()));
  return absl::OkStatus();
}

void MeshState::ApplyGateways(absl::flat_hash_set<IpAddress> gateways) {
  if (gateways == *snapshot_->gateways) return;
  std::vector<std::string> names;
  for (const IpAddress& gateway : gateways) names.push_back(gateway.ToString());
  std::sort(names.begin(), names.end());
  logger_->Info("default gateways", {{"addresses", absl::StrJoin(names, ", ")}});
  Commit([&](MeshSnapshot& next) {
    next.gateways = std::make_shared<const absl::flat_hash_set<IpAddress>>(std::move(gateways));
  });
}

}  // namespace byrnie
