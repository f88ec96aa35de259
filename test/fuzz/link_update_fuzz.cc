// What the agent sends to the proxy: policies and addresses, one message after the other, from
// bytes to snapshots, and decisions made with them. Tables that are made after each message and one
// that is made after them all are the same.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/policy/authorizer.h"
#include "proxy/routing_table.h"
#include "proxy/routing_table_builder.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

using istio::security::Authorization;
using link::v1::AgentMessage;
// What the tables of an input are asked for at most, so that large ones do not take long.
constexpr size_t kMostAsked = 16;

void Expect(bool condition) {
  if (!condition) std::abort();
}

// An input is messages, each after two bytes that say its size.
std::string Framed(const std::vector<AgentMessage>& messages) {
  std::string bytes;
  for (const AgentMessage& message : messages) {
    const std::string payload = message.SerializeAsString();
    bytes.push_back(static_cast<char>(payload.size() >> 8));
    bytes.push_back(static_cast<char>(payload.size()));
    bytes += payload;
  }
  return bytes;
}

bool TakeMessage(absl::string_view* bytes, AgentMessage* message) {
  if (bytes->size() < 2) return false;
  const size_t size = static_cast<size_t>(static_cast<uint8_t>((*bytes)[0])) << 8 |
                      static_cast<uint8_t>((*bytes)[1]);
  const absl::string_view payload = bytes->substr(2, size);
  bytes->remove_prefix(2 + payload.size());
  return message->ParseFromArray(payload.data(), static_cast<int>(payload.size()));
}

void UsePolicies(const link::v1::PolicyUpdate& update) {
  const auto policies = PolicySet::Create(update.epoch(), update.policies());
  if (!policies.ok()) return;
  ConnectionFacts facts;
  facts.peer = *SpiffeId::Parse("spiffe://cluster.local/ns/n/sa/s");
  facts.source = *IpAddress::Parse("10.0.0.1");
  facts.destination = *SocketAddress::Parse("10.0.0.2:8080");
  Authorize(policies->get(), {"cluster.local", "n", {"n/p"}}, facts);
}

RouteDecision Resolve(const RoutingTable& table, const IpAddress& ip, uint16_t port) {
  std::mt19937 random(1);
  const RouteDecision decision = table.Resolve(SocketAddress(ip, port), random);
  const bool proven = decision.kind == RouteDecision::Kind::kHbone ||
                      decision.kind == RouteDecision::Kind::kDirectMtls;
  Expect(proven == !decision.identities.empty());
  Expect((decision.kind == RouteDecision::Kind::kNoEndpoint) == !decision.reason.empty());
  return decision;
}

void ExpectSame(const RoutingTable& a, const RoutingTable& b, const IpAddress& ip, uint16_t port) {
  const RouteDecision one = Resolve(a, ip, port), other = Resolve(b, ip, port);
  Expect(one.kind == other.kind && one.workload == other.workload && one.service == other.service);
}

// Every address is somebody's, and both tables say whose.
void ExpectSame(const RoutingTable& a, const RoutingTable& b) {
  Expect(a.workload_count() == b.workload_count() && a.service_count() == b.service_count());
  size_t asked = 0;
  for (const auto& [uid, workload] : a.workloads()) {
    for (const IpAddress& ip : workload->addresses) {
      if (++asked > kMostAsked) return;
      Expect(a.FindWorkload(ip) != nullptr);
      ExpectSame(a, b, ip, 80);
    }
  }
  for (const auto& [key, service] : a.services()) {
    for (const IpAddress& ip : service->vips) {
      if (++asked > kMostAsked) return;
      Expect(a.FindService(ip) != nullptr);
      ExpectSame(a, b, ip, service->ports.empty() ? 80 : service->ports.begin()->first);
    }
  }
}

AgentMessage GoodPolicy() {
  AgentMessage message;
  message.mutable_policies()->set_epoch(1);
  Authorization* const policy = message.mutable_policies()->add_policies();
  policy->set_name("p");
  policy->set_namespace_("n");
  policy->set_scope(istio::security::WORKLOAD_SELECTOR);
  policy->set_action(istio::security::DENY);
  auto* const match = policy->add_rules()->add_clauses()->add_matches();
  match->add_principals()->set_exact("cluster.local/ns/n/sa/s");
  match->add_not_principals()->set_prefix("cluster.local/ns/m/");
  match->add_not_principals()->set_suffix("/sa/t");
  match->add_namespaces()->mutable_presence();
  match->add_destination_ports(8080);
  auto* block = match->add_source_ips();
  block->set_address(std::string("\x0a\0\0\0", 4));
  block->set_length(8);
  // IPv4-mapped: 10.1.0.0/16.
  block = match->add_not_source_ips();
  block->set_address(std::string(10, '\0') + std::string("\xff\xff\x0a\x01\0\0", 6));
  block->set_length(112);
  auto* const account = match->add_service_accounts();
  account->set_namespace_("n");
  account->set_service_account("s");
  return message;
}

// Policies that are not as GoodPolicy() is.
using SpoilPolicy = void (*)(Authorization*);
const SpoilPolicy kPolicies[] = {
    [](Authorization*) {},
    [](Authorization* p) { p->set_action(istio::security::ALLOW); },
    [](Authorization* p) { p->set_action(static_cast<istio::security::Action>(7)); },
    [](Authorization* p) { p->set_scope(istio::security::GLOBAL); },
    [](Authorization* p) { p->set_scope(istio::security::NAMESPACE); },
    [](Authorization* p) { p->set_scope(static_cast<istio::security::Scope>(7)); },
    [](Authorization* p) { p->clear_name(); },
    [](Authorization* p) { p->clear_namespace_(); },
    [](Authorization* p) { p->set_namespace_("n/m"); },
    [](Authorization* p) {
      p->mutable_rules(0)->mutable_clauses(0)->mutable_matches(0)->add_namespaces();
    },
    [](Authorization* p) {
      p->mutable_rules(0)->mutable_clauses(0)->mutable_matches(0)->add_not_destination_ports(65536);
    },
    [](Authorization* p) {
      p->mutable_rules(0)->mutable_clauses(0)->mutable_matches(0)->add_not_service_accounts();
    },
    [](Authorization* p) {
      auto* const match = p->mutable_rules(0)->mutable_clauses(0)->mutable_matches(0);
      match->mutable_source_ips(0)->set_length(33);
    },
    [](Authorization* p) {
      auto* const match = p->mutable_rules(0)->mutable_clauses(0)->mutable_matches(0);
      match->mutable_not_source_ips(0)->set_length(95);
    },
};

istio::workload::Workload* AddWorkload(AgentMessage* message, const char* uid, char last_byte) {
  auto* const workload = message->mutable_addresses()->add_upserts()->mutable_workload();
  workload->set_uid(uid);
  workload->set_namespace_("n");
  workload->set_service_account("s");
  workload->add_addresses(std::string("\x0a\0\0", 3) + last_byte);
  workload->set_tunnel_protocol(istio::workload::HBONE);
  workload->mutable_locality()->set_region("r");
  workload->mutable_capacity()->set_value(2);
  for (const char* key : {"n/h", "n/unknown"}) {
    auto* const port = (*workload->mutable_services())[key].add_ports();
    port->set_service_port(80);
    port->set_target_port(8080);
  }
  return workload;
}

istio::workload::Service* AddService(AgentMessage* message, const char* hostname) {
  auto* const service = message->mutable_addresses()->add_upserts()->mutable_service();
  service->set_namespace_("n");
  service->set_hostname(hostname);
  service->add_addresses()->set_address(std::string("\x0a\1\0\1", 4));
  service->add_ports()->set_service_port(80);
  service->add_subject_alt_names("spiffe://cluster.local/ns/n/sa/s");
  service->mutable_load_balancing()->set_mode(istio::workload::LoadBalancing::FAILOVER);
  for (const auto scope :
       {istio::workload::LoadBalancing::REGION, istio::workload::LoadBalancing::ZONE,
        istio::workload::LoadBalancing::SUBZONE, istio::workload::LoadBalancing::NODE,
        istio::workload::LoadBalancing::CLUSTER, istio::workload::LoadBalancing::NETWORK}) {
    service->mutable_load_balancing()->add_routing_preference(scope);
  }
  return service;
}

AgentMessage Removal(const char* key) {
  AgentMessage message;
  message.mutable_addresses()->add_removals(key);
  return message;
}

// What comes, takes addresses of others, changes and goes.
std::vector<AgentMessage> AddressesThatChangeHands() {
  AgentMessage whole, taken, second, rest;
  whole.mutable_addresses()->set_replace_all(true);
  // IPv6 beside, and the same address twice.
  auto* const own = AddWorkload(&whole, "u", 1);
  own->add_addresses(std::string(15, '\0') + '\1');
  own->add_addresses(own->addresses(0));
  AddService(&whole, "h");
  AddService(&whole, "without members")->clear_load_balancing();
  AddWorkload(&taken, "v", 1);
  AddWorkload(&taken, "w", 2)->set_tunnel_protocol(istio::workload::LEGACY_ISTIO_MTLS);
  AddWorkload(&taken, "x", 3)->set_tunnel_protocol(istio::workload::NONE);
  AddWorkload(&taken, "y", 4)->set_status(istio::workload::UNHEALTHY);
  AddService(&second, "h")
      ->mutable_load_balancing()
      ->set_mode(istio::workload::LoadBalancing::STRICT);
  rest.mutable_addresses()->set_replace_all(true);
  AddService(&rest, "h");
  return {whole,
          taken,
          second,
          Removal("v"),
          Removal("u"),
          taken,
          Removal("n/h"),
          Removal("n/without members"),
          whole,
          taken,
          rest};
}

using SpoilWorkload = void (*)(istio::workload::Workload*);
const SpoilWorkload kWorkloads[] = {
    [](istio::workload::Workload* w) { w->clear_uid(); },
    [](istio::workload::Workload* w) { w->clear_namespace_(); },
    [](istio::workload::Workload* w) { w->set_service_account("a/b"); },
    [](istio::workload::Workload* w) { w->set_trust_domain("No Domain"); },
    [](istio::workload::Workload* w) { w->add_addresses("x"); },
    [](istio::workload::Workload* w) { w->add_addresses(std::string(4, '\0')); },
    [](istio::workload::Workload* w) {
      w->set_status(static_cast<istio::workload::WorkloadStatus>(7));
    },
    [](istio::workload::Workload* w) {
      w->set_tunnel_protocol(static_cast<istio::workload::TunnelProtocol>(7));
    },
    [](istio::workload::Workload* w) {
      w->mutable_application_tunnel()->set_protocol(
          static_cast<istio::workload::ApplicationTunnel::Protocol>(7));
    },
    [](istio::workload::Workload* w) {
      w->mutable_application_tunnel()->set_protocol(istio::workload::ApplicationTunnel::PROXY);
      w->mutable_application_tunnel()->set_port(65536);
    },
    [](istio::workload::Workload* w) { (*w->mutable_services())["n/h"].add_ports(); },
    // Good ones.
    [](istio::workload::Workload* w) { w->set_workload_type(istio::workload::DEPLOYMENT); },
    [](istio::workload::Workload* w) { w->set_workload_type(istio::workload::JOB); },
    [](istio::workload::Workload* w) { w->set_workload_type(istio::workload::CRONJOB); },
    [](istio::workload::Workload* w) {
      w->mutable_application_tunnel()->set_protocol(istio::workload::ApplicationTunnel::PROXY);
      w->mutable_application_tunnel()->set_port(8080);
    },
};

using SpoilService = void (*)(istio::workload::Service*);
const SpoilService kServices[] = {
    [](istio::workload::Service* s) { s->clear_namespace_(); },
    [](istio::workload::Service* s) { s->clear_hostname(); },
    [](istio::workload::Service* s) { s->mutable_addresses(0)->set_address("x"); },
    [](istio::workload::Service* s) { s->mutable_ports(0)->set_target_port(65536); },
    [](istio::workload::Service* s) { s->set_subject_alt_names(0, "x"); },
    [](istio::workload::Service* s) {
      s->mutable_load_balancing()->set_mode(static_cast<istio::workload::LoadBalancing::Mode>(7));
    },
    [](istio::workload::Service* s) {
      s->mutable_load_balancing()->set_health_policy(
          static_cast<istio::workload::LoadBalancing::HealthPolicy>(7));
    },
    [](istio::workload::Service* s) {
      s->mutable_load_balancing()->set_routing_preference(
          0, istio::workload::LoadBalancing::UNSPECIFIED_SCOPE);
    },
    [](istio::workload::Service* s) {
      for (int i = 0; i < 16; ++i) {
        s->mutable_load_balancing()->add_routing_preference(istio::workload::LoadBalancing::ZONE);
      }
    },
    // Good ones.
    [](istio::workload::Service* s) {
      s->mutable_load_balancing()->set_mode(istio::workload::LoadBalancing::PASSTHROUGH);
    },
    [](istio::workload::Service* s) {
      s->mutable_load_balancing()->set_health_policy(istio::workload::LoadBalancing::ALLOW_ALL);
    },
};

}  // namespace

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds;
  for (const SpoilPolicy spoil : kPolicies) {
    AgentMessage message = GoodPolicy();
    spoil(message.mutable_policies()->mutable_policies(0));
    seeds.push_back(Framed({message}));
  }
  seeds.push_back(Framed(AddressesThatChangeHands()));
  // One message with one address of each kind that is not taken, among good ones.
  AgentMessage mixed;
  mixed.mutable_addresses()->add_upserts();
  for (const SpoilWorkload spoil : kWorkloads) spoil(AddWorkload(&mixed, "u", 1));
  for (const SpoilService spoil : kServices) spoil(AddService(&mixed, "h"));
  seeds.push_back(Framed({mixed}));
  return seeds;
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  byrnie::RoutingTableBuilder after_each, after_all;
  for (auto* const builder : {&after_each, &after_all}) {
    builder->SetOwnAddresses({*byrnie::IpAddress::Parse("10.0.0.1")});
  }
  auto table = after_each.Build();
  byrnie::link::v1::AgentMessage message;
  while (byrnie::TakeMessage(&bytes, &message)) {
    byrnie::UsePolicies(message.policies());
    const size_t upserts = static_cast<size_t>(message.addresses().upserts_size());
    byrnie::Expect(after_each.Apply(message.addresses()).size() <= upserts);
    after_all.Apply(message.addresses());
    table = after_each.Build();
  }
  byrnie::ExpectSame(*table, *after_all.Build());
  return 0;
}
