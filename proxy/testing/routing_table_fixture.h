#ifndef BYRNIE_PROXY_TESTING_ROUTING_TABLE_FIXTURE_H_
#define BYRNIE_PROXY_TESTING_ROUTING_TABLE_FIXTURE_H_

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"
#include "gtest/gtest.h"
#include "proxy/routing_table.h"
#include "proxy/routing_table_builder.h"

namespace byrnie {

inline IpAddress Ip(absl::string_view text) { return IpAddress::Parse(text).value(); }
inline SocketAddress At(absl::string_view text) { return SocketAddress::Parse(text).value(); }
inline SpiffeId Id(absl::string_view text) { return SpiffeId::Parse(text).value(); }

inline constexpr char kServiceKey[] = "demo/web.demo.svc.cluster.local";

inline istio::workload::Workload MakeWorkload(const std::string& name,
                                              const std::vector<std::string>& addresses) {
  istio::workload::Workload workload;
  workload.set_uid("static//pod/demo/" + name);
  workload.set_name(name);
  workload.set_namespace_("demo");
  workload.set_service_account(name);
  workload.set_tunnel_protocol(istio::workload::HBONE);
  for (const std::string& address : addresses) workload.add_addresses(Ip(address).ToBytes());
  return workload;
}

// A workload that serves port 80 of the service at its own port 8080.
inline istio::workload::Workload MakeEndpoint(const std::string& name, const std::string& address,
                                              uint32_t capacity = 1) {
  istio::workload::Workload workload = MakeWorkload(name, {address});
  workload.mutable_capacity()->set_value(capacity);
  istio::workload::Port* port = (*workload.mutable_services())[kServiceKey].add_ports();
  port->set_service_port(80);
  port->set_target_port(8080);
  return workload;
}

inline istio::workload::Service MakeService(const std::vector<std::string>& vips) {
  istio::workload::Service service;
  service.set_name("web");
  service.set_namespace_("demo");
  service.set_hostname("web.demo.svc.cluster.local");
  for (const std::string& vip : vips) service.add_addresses()->set_address(Ip(vip).ToBytes());
  istio::workload::Port* port = service.add_ports();
  port->set_service_port(80);
  port->set_target_port(8080);
  return service;
}

// A routing table made of the resources that a test adds and removes.
class RoutingTableFixture : public ::testing::Test {
 public:
  RoutingTableFixture& Add(const istio::workload::Workload& workload) {
    *update_.add_upserts()->mutable_workload() = workload;
    return *this;
  }
  RoutingTableFixture& Add(const istio::workload::Service& service) {
    *update_.add_upserts()->mutable_service() = service;
    return *this;
  }
  RoutingTableFixture& Remove(const std::string& key) {
    update_.add_removals(key);
    return *this;
  }
  // Applies what was collected and makes the snapshot the tests look at.
  std::vector<absl::Status> Apply(bool replace_all = false) {
    update_.set_replace_all(replace_all);
    std::vector<absl::Status> rejected = builder_.Apply(update_);
    update_.Clear();
    table_ = builder_.Build();
    return rejected;
  }
  RouteDecision Resolve(absl::string_view destination) {
    return table_->Resolve(At(destination), random_);
  }

  link::v1::AddressUpdate update_;
  RoutingTableBuilder builder_;
  std::shared_ptr<const RoutingTable> table_;
  std::mt19937_64 random_{7};
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_TESTING_ROUTING_TABLE_FIXTURE_H_
