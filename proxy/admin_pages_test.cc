#include "proxy/admin_pages.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/base/json.h"
#include "common/base/status_matchers.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/routing_table_builder.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kHostile[] = "<script>alert(\"1\")</script>&\n\x1b[2J";

absl::Time Start() { return absl::FromUnixSeconds(1700000000); }

ProxyConfig Config() {
  ProxyConfig config;
  config.admin = *SocketAddress::Parse("127.0.0.1:15000");
  config.shown_flags = {{"link_socket", kHostile}};
  return config;
}

TEST(AdminPagesTest, NoValueEndsAStringOfTheConfigDump) {
  link::v1::AddressUpdate update;
  istio::workload::Workload* workload = update.add_upserts()->mutable_workload();
  workload->set_uid(kHostile);
  workload->set_name(kHostile);
  workload->set_namespace_("demo");
  workload->set_service_account("server");
  workload->add_addresses(std::string("\x0a\0\0\1", 4));
  RoutingTableBuilder routes;
  ASSERT_TRUE(routes.Apply(update).empty());
  MeshSnapshot mesh;
  mesh.routes = routes.Build();
  const std::string page = RenderConfigDump(mesh, Config());
  EXPECT_THAT(JsonValue::Parse(page, 64 * 1024), IsOk());
  EXPECT_THAT(page, AllOf(HasSubstr("alert"), Not(HasSubstr("\x1b")), Not(HasSubstr("(\"1"))));
}

TEST(AdminPagesTest, TheConfigDumpHasWhatTheProxyActsOn) {
  link::v1::AddressUpdate update;
  istio::workload::Workload* workload = update.add_upserts()->mutable_workload();
  workload->set_uid("uid");
  workload->set_name("server-7d9");
  workload->set_namespace_("demo");
  workload->set_service_account("server");
  workload->set_workload_name("server");
  workload->set_workload_type(istio::workload::DEPLOYMENT);
  workload->set_canonical_name("shop");
  workload->set_canonical_revision("v2");
  workload->add_addresses(std::string("\x0a\0\0\1", 4));
  workload->mutable_application_tunnel()->set_protocol(istio::workload::ApplicationTunnel::PROXY);
  workload->mutable_application_tunnel()->set_port(9000);
  RoutingTableBuilder routes;
  ASSERT_TRUE(routes.Apply(update).empty());
  MeshSnapshot mesh;
  mesh.routes = routes.Build();
  std::string page = RenderConfigDump(mesh, Config());
  absl::RemoveExtraAsciiWhitespace(&page);
  EXPECT_THAT(
      page, AllOf(HasSubstr("\"application_tunnel\": { \"protocol\": \"proxy\", \"port\": 9000 }"),
                  HasSubstr("\"workload_name\": \"server\", \"workload_type\": \"deployment\""),
                  HasSubstr("\"canonical_name\": \"shop\", \"canonical_revision\": \"v2\"")));
}

TEST(AdminPagesTest, NoValueEndsAStringOfTheConnections) {
  Worker::View view;
  view.connection_count = 3;
  view.connections.resize(1);
  view.connections[0].service = kHostile;
  view.outbound_tunnels.resize(1);
  view.outbound_tunnels[0].peer = kHostile;
  view.inbound_tunnels.resize(1);
  view.inbound_tunnels[0].peer = kHostile;
  view.connections[0].admitted_by = std::make_shared<const std::string>(kHostile);
  const std::string page = RenderConnections({view}, /*complete=*/false, 10);
  EXPECT_THAT(JsonValue::Parse(page, 64 * 1024), IsOk());
  EXPECT_THAT(page, AllOf(HasSubstr("\"complete\": false"), HasSubstr("\"open\": 3"),
                          Not(HasSubstr("\x1b"))));
}

TEST(AdminPagesTest, ConnectionsAreShownUpToTheLimitWithTheirStages) {
  Worker::View view;
  view.connections.resize(5);
  for (Connection::View& connection : view.connections) {
    connection.stages.Complete(StageTimes::kDial, absl::Milliseconds(1500));
  }
  const absl::StatusOr<JsonValue> page =
      JsonValue::Parse(RenderConnections({view, view}, /*complete=*/true, 7), 64 * 1024);
  ASSERT_THAT(page, IsOk());
  const std::string text = RenderConnections({view, view}, /*complete=*/true, 7);
  size_t count = 0;
  for (size_t at = text.find("\"dial_ms\": 1500"); at != std::string::npos;
       at = text.find("\"dial_ms\": 1500", at + 1)) {
    ++count;
  }
  EXPECT_EQ(count, 7u);
}

TEST(AdminPagesTest, CertificatesAreShownWithoutAnythingOfTheirKey) {
  const TestCa ca("cluster.local", Start());
  const TestIdentity identity = ca.IssueSvid("/ns/demo/sa/server");
  auto in_use = std::make_shared<IdentityInUse>();
  const TrustBundleSet bundles = *WithRevocationLists(
      ca.Bundles(), {{"cluster.local", {MakeCrl(*ca.root(), ca.key(), Start())}}});
  in_use->identity = *IdentitySnapshot::Create(1, identity.chain, bundles, Start());
  MeshSnapshot mesh;
  mesh.identity = in_use;
  const std::string page = RenderCerts(mesh, Start());
  EXPECT_THAT(page, AllOf(HasSubstr("\"revocation_lists\""), HasSubstr("\"seconds_left\": 3600")));
  EXPECT_THAT(JsonValue::Parse(page, 64 * 1024), IsOk());
  // Names, times and digests only: no encoding in which a key could travel.
  EXPECT_THAT(
      page, AllOf(HasSubstr("spiffe://cluster.local/ns/demo/sa/server"),
                  HasSubstr("\"trust_bundles\""), Not(HasSubstr("BEGIN")), Not(HasSubstr("key"))));
}

}  // namespace
}  // namespace byrnie
