// What a routing decision and a new table cost among 100 000 workloads.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/net/socket_address.h"
#include "proxy/routing_table_builder.h"

namespace byrnie {
namespace {

constexpr uint32_t kWorkloads = 100000;

IpAddress Address(uint8_t network, uint32_t number) {
  const char bytes[] = {static_cast<char>(network), static_cast<char>(number >> 16),
                        static_cast<char>(number >> 8), static_cast<char>(number)};
  return *IpAddress::FromBytes(absl::string_view(bytes, 4));
}

void AddWorkload(uint32_t number, uint32_t services, link::v1::AddressUpdate* update) {
  istio::workload::Workload* workload = update->add_upserts()->mutable_workload();
  workload->set_uid(absl::StrCat("cluster//Pod/demo/server-", number));
  workload->set_name(absl::StrCat("server-", number));
  workload->set_namespace_("demo");
  workload->set_service_account("server");
  workload->add_addresses(Address(10, number + 1).ToBytes());
  workload->set_tunnel_protocol(istio::workload::HBONE);
  workload->mutable_locality()->set_region("eu");
  workload->mutable_locality()->set_zone(absl::StrCat("eu-", number % 3));
  istio::workload::Port* port =
      (*workload->mutable_services())[absl::StrCat("demo/s", number % services)].add_ports();
  port->set_service_port(80);
  port->set_target_port(8080);
}

// All workloads, spread over so many services.
link::v1::AddressUpdate World(uint32_t services) {
  link::v1::AddressUpdate update;
  update.set_replace_all(true);
  for (uint32_t i = 0; i < kWorkloads; ++i) AddWorkload(i, services, &update);
  for (uint32_t i = 0; i < services; ++i) {
    istio::workload::Service* service = update.add_upserts()->mutable_service();
    service->set_namespace_("demo");
    service->set_hostname(absl::StrCat("s", i));
    service->add_addresses()->set_address(Address(11, i + 1).ToBytes());
    service->add_ports()->set_service_port(80);
    service->mutable_load_balancing()->set_mode(istio::workload::LoadBalancing::FAILOVER);
    service->mutable_load_balancing()->add_routing_preference(
        istio::workload::LoadBalancing::REGION);
    service->mutable_load_balancing()->add_routing_preference(istio::workload::LoadBalancing::ZONE);
  }
  return update;
}

void BM_FindWorkload(benchmark::State& state) {
  RoutingTableBuilder builder;
  (void)builder.Apply(World(1000));
  const std::shared_ptr<const RoutingTable> table = builder.Build();
  absl::InsecureBitGen random;
  std::vector<IpAddress> addresses;
  for (uint32_t i = 0; i < 4096; ++i) {
    addresses.push_back(Address(10, absl::Uniform<uint32_t>(random, 1, kWorkloads + 1)));
  }
  size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(table->FindWorkload(addresses[next++ % addresses.size()]));
  }
}
BENCHMARK(BM_FindWorkload);

// The whole decision, with everything a connection needs of it. Services: the argument.
void BM_ResolveService(benchmark::State& state) {
  const auto services = static_cast<uint32_t>(state.range(0));
  RoutingTableBuilder builder;
  builder.SetOwnAddresses({Address(10, 1)});
  (void)builder.Apply(World(services));
  const std::shared_ptr<const RoutingTable> table = builder.Build();
  absl::InsecureBitGen random;
  std::vector<SocketAddress> destinations;
  for (uint32_t i = 0; i < 4096; ++i) {
    destinations.emplace_back(Address(11, absl::Uniform<uint32_t>(random, 1, services + 1)), 80);
  }
  size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(table->Resolve(destinations[next++ % destinations.size()], random));
  }
}
BENCHMARK(BM_ResolveService)->Arg(1)->Arg(1000)->Arg(20000);

void BM_ResolveWorkload(benchmark::State& state) {
  RoutingTableBuilder builder;
  (void)builder.Apply(World(1000));
  const std::shared_ptr<const RoutingTable> table = builder.Build();
  absl::InsecureBitGen random;
  std::vector<SocketAddress> destinations;
  for (uint32_t i = 0; i < 4096; ++i) {
    destinations.emplace_back(Address(10, absl::Uniform<uint32_t>(random, 1, kWorkloads + 1)),
                              8080);
  }
  size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(table->Resolve(destinations[next++ % destinations.size()], random));
  }
}
BENCHMARK(BM_ResolveWorkload);

// Everything at once, as after the link was lost: apply and build.
void BM_ReplaceAll(benchmark::State& state) {
  const link::v1::AddressUpdate world = World(1000);
  for (auto _ : state) {
    RoutingTableBuilder builder;
    (void)builder.Apply(world);
    benchmark::DoNotOptimize(builder.Build());
  }
}
BENCHMARK(BM_ReplaceAll)->Unit(benchmark::kMillisecond);

// One workload of a service changes: apply and build. Services: the argument.
void BM_ChangeOne(benchmark::State& state) {
  const auto services = static_cast<uint32_t>(state.range(0));
  RoutingTableBuilder builder;
  (void)builder.Apply(World(services));
  std::shared_ptr<const RoutingTable> table = builder.Build();
  uint32_t number = 0;
  for (auto _ : state) {
    link::v1::AddressUpdate update;
    AddWorkload(number++ % kWorkloads, services, &update);
    (void)builder.Apply(update);
    table = builder.Build();
  }
}
BENCHMARK(BM_ChangeOne)->Arg(1)->Arg(1000)->Arg(20000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace byrnie

BENCHMARK_MAIN();
