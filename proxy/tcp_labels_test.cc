#include "proxy/tcp_labels.h"

#include <memory>
#include <string>

#include "byrnie/link/v1/link.pb.h"
#include "common/base/status_matchers.h"
#include "common/tls/testing/test_ca.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/routing_table_builder.h"

namespace byrnie {
namespace {

// A mesh of demo/client (10.0.0.1) and demo/server (10.0.0.2), where this proxy is one of them.
class TcpLabelsTest : public ::testing::Test {
 protected:
  TcpLabelsTest() : ca_("cluster.local", absl::FromUnixSeconds(1700000000)) {
    link::v1::AddressUpdate update;
    AddWorkload("client", '\1', &update);
    istio::workload::Workload* server = AddWorkload("server", '\2', &update);
    AddPort("demo/server.demo.svc.cluster.local", server);
    RoutingTableBuilder routes;
    EXPECT_TRUE(routes.Apply(update).empty());
    mesh_.routes = routes.Build();
  }

  static istio::workload::Workload* AddWorkload(const std::string& name, char last,
                                                link::v1::AddressUpdate* update) {
    istio::workload::Workload* workload = update->add_upserts()->mutable_workload();
    workload->set_uid(name);
    workload->set_name(name + "-pod-7");
    workload->set_workload_name(name);
    workload->set_namespace_("demo");
    workload->set_service_account(name);
    workload->set_trust_domain("cluster.local");
    workload->set_tunnel_protocol(istio::workload::HBONE);
    workload->add_addresses(std::string("\x0a\0\0", 3) + last);
    return workload;
  }
  static void AddPort(const std::string& service, istio::workload::Workload* workload) {
    istio::workload::Port* port = (*workload->mutable_services())[service].add_ports();
    port->set_service_port(80);
    port->set_target_port(8080);
  }
  void Be(const std::string& name) {
    auto identity = std::make_shared<IdentityInUse>();
    identity->identity = *IdentitySnapshot::Create(1, ca_.IssueSvid("/ns/demo/sa/" + name).chain,
                                                   ca_.Bundles(), Start());
    mesh_.identity = std::move(identity);
  }
  static absl::Time Start() { return absl::FromUnixSeconds(1700000000); }
  PeerInfo Peer(const std::string& id) {
    PeerInfo peer{VerifiedSvid{*SpiffeId::Parse(id), absl::InfiniteFuture()},
                  TlsSessionInfo(),
                  absl::nullopt,
                  1,
                  absl::InfiniteFuture(),
                  CertificateChain()};
    return peer;
  }
  static TcpParties Between(AccessRecord::Direction direction) {
    TcpParties parties;
    parties.direction = direction;
    parties.source = *SocketAddress::Parse("10.0.0.1:40000");
    parties.destination = *SocketAddress::Parse("10.0.0.2:8080");
    return parties;
  }

  const TestCa ca_;
  MeshSnapshot mesh_;
};

TEST_F(TcpLabelsTest, BothProxiesSayTheSameButWhoReports) {
  const std::string client = "spiffe://cluster.local/ns/demo/sa/client";
  const std::string server = "spiffe://cluster.local/ns/demo/sa/server";
  for (const auto direction :
       {AccessRecord::Direction::kInbound, AccessRecord::Direction::kOutbound}) {
    const bool inbound = direction == AccessRecord::Direction::kInbound;
    Be(inbound ? "server" : "client");
    const PeerInfo peer = Peer(inbound ? client : server);
    TcpParties parties = Between(direction);
    parties.peer = &peer;
    parties.service = inbound ? "" : "demo/server.demo.svc.cluster.local";
    const TcpLabelValues values = LabelsOf(mesh_, parties);
    EXPECT_EQ(values[kReporter], inbound ? "destination" : "source");
    EXPECT_EQ(values[kSourceWorkload], "client");
    EXPECT_EQ(values[kSourceWorkloadNamespace], "demo");
    EXPECT_EQ(values[kSourcePrincipal], client);
    EXPECT_EQ(values[kDestinationWorkload], "server");
    EXPECT_EQ(values[kDestinationWorkloadNamespace], "demo");
    EXPECT_EQ(values[kDestinationPrincipal], server);
    EXPECT_EQ(values[kDestinationService], "server.demo.svc.cluster.local");
    EXPECT_EQ(values[kDestinationServiceName], "server");
    EXPECT_EQ(values[kDestinationServiceNamespace], "demo");
    EXPECT_EQ(values[kRequestProtocol], "tcp");
    EXPECT_EQ(values[kResponseFlags], "-");
    EXPECT_EQ(values[kConnectionSecurityPolicy], "mutual_tls");
  }
}

TEST_F(TcpLabelsTest, AnAddressIsNotTakenForAnIdentity) {
  Be("server");
  // Another workload at the client's address, as proven.
  const PeerInfo peer = Peer("spiffe://cluster.local/ns/other/sa/thief");
  TcpParties parties = Between(AccessRecord::Direction::kInbound);
  parties.peer = &peer;
  TcpLabelValues values = LabelsOf(mesh_, parties);
  EXPECT_EQ(values[kSourceWorkload], "unknown");
  EXPECT_EQ(values[kSourceWorkloadNamespace], "other");
  EXPECT_EQ(values[kSourcePrincipal], "spiffe://cluster.local/ns/other/sa/thief");

  // Plaintext from that address.
  parties.peer = nullptr;
  values = LabelsOf(mesh_, parties);
  EXPECT_EQ(values[kSourceWorkload], "unknown");
  EXPECT_EQ(values[kSourceWorkloadNamespace], "unknown");
  EXPECT_EQ(values[kSourcePrincipal], "unknown");
  EXPECT_EQ(values[kDestinationPrincipal], "unknown");
  EXPECT_EQ(values[kDestinationWorkload], "server");
  EXPECT_EQ(values[kConnectionSecurityPolicy], "none");
}

TEST_F(TcpLabelsTest, WhatNobodyKnowsIsUnknown) {
  TcpParties parties = Between(AccessRecord::Direction::kOutbound);
  parties.destination = *SocketAddress::Parse("192.0.2.1:443");
  const TcpLabelValues values = LabelsOf(mesh_, parties);
  for (const TcpLabel label :
       {kDestinationWorkload, kDestinationWorkloadNamespace, kDestinationPrincipal,
        kDestinationService, kDestinationServiceName, kDestinationServiceNamespace}) {
    EXPECT_EQ(values[label], "unknown") << NameOf(label);
  }
}

TEST(ResponseFlagsTest, AreEnvoysWords) {
  using Result = AccessRecord::Result;
  EXPECT_EQ(ResponseFlagsOf(Result::kAllowed, "closed"), "-");
  EXPECT_EQ(ResponseFlagsOf(Result::kAllowed, "reset-by-downstream"), "DC");
  EXPECT_EQ(ResponseFlagsOf(Result::kAllowed, "reset-by-upstream"), "UC");
  EXPECT_EQ(ResponseFlagsOf(Result::kFailed, "connect-timeout"), "UF");
  EXPECT_EQ(ResponseFlagsOf(Result::kDenied, "no-healthy-endpoint"), "UH");
  EXPECT_EQ(ResponseFlagsOf(Result::kDenied, "unknown-address"), "NR");
  EXPECT_EQ(ResponseFlagsOf(Result::kFailed, "overloaded"), "UO");
  EXPECT_EQ(ResponseFlagsOf(Result::kDenied, "policy-deny demo/x"), "UAEX");
  EXPECT_EQ(ResponseFlagsOf(Result::kFailed, "drained"), "LR");
  EXPECT_EQ(ResponseFlagsOf(Result::kDenied, "tls-flood"), "LR");
}

}  // namespace
}  // namespace byrnie
