// What the agent sends to the proxy: policies and addresses, from bytes to snapshots, and decisions
// made with them.

#include "byrnie/link/v1/link.pb.h"
#include "common/policy/authorizer.h"
#include "proxy/routing_table_builder.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

void UsePolicies(const link::v1::PolicyUpdate& update) {
  const auto policies = PolicySet::Create(update.epoch(), update.policies());
  if (!policies.ok()) return;
  ConnectionFacts facts;
  facts.peer = *SpiffeId::Parse("spiffe://cluster.local/ns/n/sa/s");
  facts.source = *IpAddress::Parse("10.0.0.1");
  facts.destination = *SocketAddress::Parse("10.0.0.2:8080");
  Authorize(policies->get(), {"cluster.local", "n", {"n/p"}}, facts);
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  link::v1::AgentMessage policies;
  policies.mutable_policies()->set_epoch(1);
  auto* const policy = policies.mutable_policies()->add_policies();
  policy->set_name("p");
  policy->set_namespace_("n");
  policy->set_scope(istio::security::WORKLOAD_SELECTOR);
  policy->set_action(istio::security::DENY);
  auto* const match = policy->add_rules()->add_clauses()->add_matches();
  match->add_principals()->set_exact("cluster.local/ns/n/sa/s");
  match->add_namespaces()->mutable_presence();
  match->add_destination_ports(8080);
  auto* const block = match->add_source_ips();
  block->set_address(std::string("\x0a\0\0\0", 4));
  block->set_length(8);

  link::v1::AgentMessage addresses;
  addresses.mutable_addresses()->set_replace_all(true);
  auto* const workload = addresses.mutable_addresses()->add_upserts()->mutable_workload();
  workload->set_uid("u");
  workload->set_namespace_("n");
  workload->set_service_account("s");
  workload->add_addresses(std::string("\x0a\0\0\1", 4));
  workload->set_tunnel_protocol(istio::workload::HBONE);
  auto* const port = (*workload->mutable_services())["n/h"].add_ports();
  port->set_service_port(80);
  port->set_target_port(8080);
  auto* const service = addresses.mutable_addresses()->add_upserts()->mutable_service();
  service->set_namespace_("n");
  service->set_hostname("h");
  service->add_addresses()->set_address(std::string("\x0a\1\0\1", 4));
  return {policies.SerializeAsString(), addresses.SerializeAsString()};
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  byrnie::link::v1::AgentMessage message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return 0;
  byrnie::UsePolicies(message.policies());
  byrnie::RoutingTableBuilder routes;
  (void)routes.Apply(message.addresses());
  (void)routes.Build();
  return 0;
}
