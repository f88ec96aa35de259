// The headers of a CONNECT between proxies: whatever a peer says, what is kept of it is names,
// addresses and hexadecimal digits of bounded size, and reads back from what is made of it.

#include <cstdlib>
#include <random>
#include <string>

#include "common/net/socket_address.h"
#include "proxy/hbone_headers.h"
#include "test/fuzz/fuzz_target.h"

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckName(const std::string& text) { Check(text.empty() || byrnie::IsName(text)); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const byrnie::WorkloadNames names = byrnie::ParseBaggage(text);
  for (const std::string* name :
       {&names.cluster, &names.ns, &names.kind, &names.name, &names.service, &names.version}) {
    CheckName(*name);
  }
  Check(byrnie::ParseBaggage(byrnie::MakeBaggage(names)) == names);

  const byrnie::Forwarded forwarded = byrnie::ParseForwarded(text);
  CheckName(forwarded.host);
  if (forwarded.source.has_value()) {
    const byrnie::Forwarded again =
        byrnie::ParseForwarded(byrnie::MakeForwarded(*forwarded.source, forwarded.host));
    Check(again.source == forwarded.source && again.host == forwarded.host);
  }

  const absl::optional<byrnie::TraceParent> parent = byrnie::ParseTraceParent(text);
  if (parent.has_value()) {
    Check(parent->trace_id.size() == 32 && parent->parent_id.size() == 16);
    Check(byrnie::ParseTraceParent(byrnie::MakeTraceParent(*parent)).has_value());
  }

  // However often a header comes, the first one counts.
  const byrnie::ConnectClaims claims = byrnie::ReadClaims({{"baggage", std::string(text)},
                                                           {"forwarded", std::string(text)},
                                                           {"traceparent", std::string(text)},
                                                           {"forwarded", "for=\"10.9.9.9:9\""},
                                                           {"host", std::string(text)}});
  Check(claims.forwarded_for == forwarded.source);
  Check(claims.trace_id == (parent.has_value() ? parent->trace_id : ""));
  Check(claims.workload.empty() == (names.ns.empty() && names.name.empty()));

  // What begins here is one that others read.
  std::minstd_rand random(static_cast<uint32_t>(size));
  const byrnie::TraceParent own = byrnie::NewTraceParent(random);
  const absl::optional<byrnie::TraceParent> read =
      byrnie::ParseTraceParent(byrnie::MakeTraceParent(own));
  Check(read.has_value() && read->trace_id == own.trace_id && read->parent_id == own.parent_id);

  // The authority of a CONNECT.
  const absl::StatusOr<byrnie::SocketAddress> authority = byrnie::SocketAddress::Parse(text);
  if (authority.ok()) {
    Check(*byrnie::SocketAddress::Parse(authority->ToString()) == *authority);
  }
  return 0;
}

namespace byrnie {

std::vector<std::string> FuzzSeeds() {
  std::string many;
  for (int i = 0; i < 70; ++i) many += "service.name=a,";
  return {many,
          many + std::string(4096, 'a'),
          "k8s.pod.name=web%2",
          "k8s.pod.name=web%zz,k8s.job.name=a%20b",
          "host=;for",
          "for=\"10.0.0.7:4000",
          "for=\"10.0.0.7:4000\\",
          "for=example;host=a b;by",
          "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
          "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
          "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
          "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",

          "k8s.cluster.name=east,k8s.namespace.name=demo,k8s.deployment.name=web,service.name=web,"
          "service.version=v1",
          "user=alice ,\tk8s.namespace.name = de%6Do;ttl=3, k8s.cronjob.name=nightly,=,;",
          "for=\"10.0.0.7:4000\";host=web.demo.svc",
          "proto=https; FOR=\"[fd00::7]:4000\" ;host=\"web:80\", for=\"10.0.0.2:2\"",
          "for=\"a\\\"b\\\\",
          "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
          "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what.will.be",
          "10.0.0.1:8080",
          "[fd00::1]:8080",
          "web.demo.svc.cluster.local:80"};
}

}  // namespace byrnie
