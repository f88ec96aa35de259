// What the control plane sends to the agent: delta discovery responses, certificates and trust
// bundles. A response of any kind leaves the agent able to ask on and to answer what it is asked.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "byrnie/ca/v1/ca.pb.h"
#include "certagent/ca_messages.h"
#include "certagent/discovery_cache.h"
#include "common/net/socket_address.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"
#include "istio/security/authorization.pb.h"
#include "istio/workload/workload.pb.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

// The first byte of an input.
enum Kind : char { kDiscovery = 0, kIssued = 1, kTrustBundles = 2 };

void Expect(bool condition) {
  if (!condition) std::abort();
}

IpAddress Ip(absl::string_view text) { return *IpAddress::Parse(text); }

// Applies the same response twice, as a control plane may send it, and on a new stream.
void UseDiscovery(const DiscoveryCache::Response& response) {
  DiscoveryCache cache("node", "", {Ip("10.77.0.2")});
  cache.OpenStream();
  (void)cache.Subscribe(Ip("10.0.0.1"));
  for (int i = 0; i < 2; ++i) {
    const DiscoveryCache::Outcome outcome = cache.OnResponse(response);
    Expect(outcome.reply.type_url() == response.type_url());
    Expect(outcome.reply.response_nonce() == response.nonce());
    DiscoveryCache::Request sent;
    Expect(sent.ParseFromString(outcome.reply.SerializeAsString()));
    // A rejection says so, an acknowledgement does not.
    Expect(outcome.reply.has_error_detail() == !outcome.rejected.empty());
  }
  for (const char* ip : {"10.0.0.1", "10.77.0.2", "10.9.9.9"}) {
    const DiscoveryCache::Answer answer = cache.Lookup(Ip(ip));
    if (answer == DiscoveryCache::Answer::kFound) Expect(cache.address_count() > 0);
  }
  Expect(cache.Addresses().size() == cache.address_count());
  (void)cache.Policies();
  Expect(cache.OpenStream().size() == 2);
}

// Bundles in which nothing is left out.
ca::v1::TrustBundles GoodBundles(const TestCa& ca) {
  ca::v1::TrustBundles bundles;
  bundles.set_version(7);
  ca::v1::TrustBundle* const bundle = bundles.add_bundles();
  bundle->set_trust_domain("cluster.local");
  bundle->add_roots(ca.root()->der());
  bundle->add_crls(MakeCrl(*ca.root(), ca.key(), absl::FromUnixSeconds(1800000000))->der());
  ca::v1::JwtKey* const key = bundle->add_jwt_keys();
  key->set_key_id("k");
  key->set_public_key(ca.key().PublicKeyDer());
  key->mutable_not_after()->set_seconds(1800003600);
  ca::v1::TaintedRoot* const tainted = bundles.add_tainted_roots();
  tainted->set_sha256(std::string(32, 't'));
  tainted->mutable_renew_within()->set_seconds(60);
  return bundles;
}

using Spoil = void (*)(ca::v1::TrustBundles*);
const Spoil kSpoils[] = {
    [](ca::v1::TrustBundles*) {},
    [](ca::v1::TrustBundles* b) { b->mutable_bundles(0)->set_roots(0, "not a certificate"); },
    [](ca::v1::TrustBundles* b) { b->mutable_bundles(0)->set_crls(0, "not a list"); },
    [](ca::v1::TrustBundles* b) {
      b->mutable_bundles(0)->mutable_jwt_keys(0)->set_public_key("not a key");
    },
    [](ca::v1::TrustBundles* b) { b->mutable_bundles(0)->set_trust_domain("No.Domain"); },
    [](ca::v1::TrustBundles* b) { b->clear_bundles(); },
    [](ca::v1::TrustBundles* b) {
      b->mutable_tainted_roots(0)->mutable_renew_within()->set_seconds(INT64_MIN);
    },
};

}  // namespace

std::vector<std::string> FuzzSeeds() {
  istio::workload::Address address;
  address.mutable_workload()->set_uid("u");
  address.mutable_workload()->set_namespace_("n");
  address.mutable_workload()->add_addresses(std::string("\x0a\0\0\1", 4));
  istio::security::Authorization policy;
  policy.set_name("p");
  policy.set_namespace_("n");
  policy.set_action(istio::security::DENY);

  DiscoveryCache::Response addresses, policies;
  addresses.set_type_url(DiscoveryCache::kAddressType);
  addresses.set_nonce("1");
  auto* resource = addresses.add_resources();
  resource->set_name("/10.0.0.1");
  resource->set_version("1");
  resource->mutable_resource()->set_type_url(addresses.type_url());
  resource->mutable_resource()->set_value(address.SerializeAsString());
  addresses.add_removed_resources("/10.77.0.2");
  policies.set_type_url(DiscoveryCache::kAuthorizationType);
  policies.set_nonce("2");
  resource = policies.add_resources();
  resource->set_name("n/p");
  resource->mutable_resource()->set_type_url(policies.type_url());
  resource->mutable_resource()->set_value(policy.SerializeAsString());

  const auto input = [](Kind kind, const google::protobuf::MessageLite& message) {
    return std::string(1, kind) + message.SerializeAsString();
  };
  std::vector<std::string> seeds = {input(kDiscovery, addresses), input(kDiscovery, policies),
                                    input(kIssued, ca::v1::IssueResponse()),
                                    input(kTrustBundles, ca::v1::TrustBundles())};
  for (const Spoil spoil : kSpoils) {
    const TestCa ca("cluster.local", absl::FromUnixSeconds(1800000000));
    ca::v1::TrustBundles bundles = GoodBundles(ca);
    spoil(&bundles);
    seeds.push_back(input(kTrustBundles, bundles));
    // The certificate is taken, whatever the bundles beside it are.
    ca::v1::IssueResponse issued;
    issued.add_certificate_chain(ca.IssueSvid("/a").chain[0]->der());
    *issued.mutable_trust_bundles() = bundles;
    issued.mutable_renewal_window()->mutable_start()->set_seconds(1);
    issued.mutable_renewal_window()->mutable_end()->set_seconds(INT64_MAX);
    issued.mutable_authority_time()->set_nanos(-1);
    seeds.push_back(input(kIssued, issued));
  }
  ca::v1::IssueResponse no_certificate;
  no_certificate.add_certificate_chain("not a certificate");
  seeds.push_back(input(kIssued, no_certificate));
  return seeds;
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const void* const message = data + 1;
  const int message_size = static_cast<int>(size) - 1;
  switch (data[0]) {
    case byrnie::kDiscovery: {
      byrnie::DiscoveryCache::Response response;
      if (response.ParseFromArray(message, message_size)) byrnie::UseDiscovery(response);
      break;
    }
    case byrnie::kIssued: {
      byrnie::ca::v1::IssueResponse response;
      if (!response.ParseFromArray(message, message_size)) break;
      const auto issued = byrnie::ParseIssueResponse(response);
      if (issued.ok() && issued->chain.empty()) std::abort();
      break;
    }
    case byrnie::kTrustBundles: {
      byrnie::ca::v1::TrustBundles response;
      if (!response.ParseFromArray(message, message_size)) break;
      const auto update = byrnie::ParseTrustBundles(response);
      if (update.ok() && update->bundles.bundles().empty()) std::abort();
      break;
    }
    default:
      break;
  }
  return 0;
}
