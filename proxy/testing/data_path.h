#ifndef BYRNIE_PROXY_TESTING_DATA_PATH_H_
#define BYRNIE_PROXY_TESTING_DATA_PATH_H_

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "byrnie/link/v1/link.pb.h"
#include "common/base/check.h"
#include "common/base/unique_fd.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/socket_address.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "common/tls/testing/local_signer.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/tls_context.h"
#include "gtest/gtest.h"
#include "proxy/asked_addresses.h"
#include "proxy/connection_registry.h"
#include "proxy/handshake_turns.h"
#include "proxy/hello_room.h"
#include "proxy/mesh_snapshot.h"
#include "proxy/outlier_detector.h"
#include "proxy/overload.h"
#include "proxy/process_counts.h"
#include "proxy/proxy_config.h"
#include "proxy/proxy_metrics.h"
#include "proxy/tunnel_dialer.h"
#include "proxy/tunnel_pool.h"
#include "proxy/worker_context.h"

namespace byrnie {

// Counts and never answers.
class SilentDialer final : public TunnelDialer {
 public:
  std::unique_ptr<Attempt> Dial(const TunnelTarget& target, std::shared_ptr<const TlsContext>,
                                Callback) override {
    targets.push_back(target);
    return std::make_unique<Attempt>();
  }
  std::vector<TunnelTarget> targets;
};

// Whose reader does not block.
struct Pipe {
  Pipe() {
    int fds[2];
    CHECK(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
    reader.reset(fds[0]);
    writer.reset(fds[1]);
  }
  UniqueFd reader;
  UniqueFd writer;
};

// Somebody who listens on 127.0.0.1 and whose backlog is full: nobody gets an answer there.
class FullBacklog {
 public:
  FullBacklog()
      : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
        first_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_storage storage;
    socklen_t size = SocketAddress::Parse("127.0.0.1:0")->ToSockaddr(&storage);
    CHECK(bind(listener_.get(), reinterpret_cast<sockaddr*>(&storage), size) == 0);
    CHECK(listen(listener_.get(), 0) == 0);
    CHECK(getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&storage), &size) == 0);
    CHECK(connect(first_.get(), reinterpret_cast<sockaddr*>(&storage), size) == 0);
    address_ = *SocketAddress::FromSockaddr(storage);
  }
  const SocketAddress& address() const { return address_; }

 private:
  const UniqueFd listener_;
  const UniqueFd first_;
  SocketAddress address_;
};

// What one worker's connections share, for tests: the real parts on a loop that the test steps,
// questions and log lines kept. One test's thread.
class DataPathTest : public ::testing::Test {
 protected:
  DataPathTest()
      : logger_(log_pipe_.writer.get(), Logger::Format::kJson, LogLevel::kError),
        metrics_(&metric_registry_),
        ca_("cluster.local", loop_.WallNow()),
        pool_(&loop_, &dialer_, TunnelPool::Options(), TunnelPool::Metrics()),
        outliers_(&loop_, OutlierDetector::Options(), OutlierDetector::Metrics(), context_.random),
        registry_(&loop_),
        scratch_(64 * 1024) {
    config_.admin = *SocketAddress::Parse("127.0.0.1:15000");
    context_.loop = &loop_;
    context_.config = &config_;
    context_.metrics = &metrics_;
    context_.logger = &logger_;
    context_.registry = &registry_;
    context_.relay_options.moved = registry_.moved();
    context_.pool = &pool_;
    context_.direct_arrivals = &direct_arrivals_;
    context_.direct_turns = &direct_turns_;
    context_.hello_room = &hello_room_;
    context_.asked_peers = &asked_peers_;
    context_.scratch = absl::MakeSpan(scratch_);
    context_.overload = &overload_;
    context_.counts = &counts_;
    context_.outliers = &outliers_;
    context_.resolve = [this](uint64_t id, const IpAddress& address, bool refresh) {
      questions_.emplace_back(id, address);
      if (refresh) ++refreshes_;
    };
  }

  // A mesh with the identity of demo/server, these policies and no routes.
  void SetMesh(const link::v1::PolicyUpdate& policies) {
    auto mesh = std::make_shared<MeshSnapshot>();
    auto identity = std::make_shared<IdentityInUse>();
    const TestIdentity own = ca_.IssueSvid("/ns/demo/sa/server");
    signer_.AddKey(own);
    identity->identity = *IdentitySnapshot::Create(1, own.chain, ca_.Bundles(), loop_.WallNow());
    identity->client = *TlsContext::Create(TlsRole::kClient, "h2", identity->identity, &signer_);
    identity->server = *TlsContext::Create(TlsRole::kServer, "h2", identity->identity, &signer_);
    mesh->identity = std::move(identity);
    mesh->policies = *PolicySet::Create(1, policies.policies());
    context_.mesh = std::move(mesh);
  }

  // The access log since the last call.
  std::string TakeLog() {
    std::string text;
    char buffer[4096];
    ssize_t count;
    while ((count = read(log_pipe_.reader.get(), buffer, sizeof(buffer))) > 0) {
      text.append(buffer, static_cast<size_t>(count));
    }
    return text;
  }

  const Pipe log_pipe_;
  ManualEventLoop loop_;
  ProxyConfig config_;
  Logger logger_;
  MetricRegistry metric_registry_;
  ProxyMetrics metrics_;
  Overload overload_{Overload::Limits(), metrics_.direction(AccessRecord::Direction::kInbound).open,
                     metrics_.direction(AccessRecord::Direction::kOutbound).open,
                     metrics_.shedding};
  ProcessCounts counts_;
  const TestCa ca_;
  LocalSigner signer_;
  SilentDialer dialer_;
  TunnelPool pool_;
  WorkerContext context_;
  OutlierDetector outliers_;
  HandshakeTurns direct_turns_{&loop_, HandshakeQueue::Limits(), &counts_.direct_handshakes,
                               metrics_.handshakes_open};
  HandshakeTurns direct_arrivals_{&loop_, HandshakeQueue::Limits(), &counts_.direct_arrivals,
                                  metrics_.handshakes_open};
  HelloRoom hello_room_{metrics_.unfinished_hello_bytes};
  AskedAddresses asked_peers_{&loop_, AskedAddresses::Options()};
  ConnectionRegistry registry_;
  std::vector<uint8_t> scratch_;
  std::vector<std::pair<uint64_t, IpAddress>> questions_;
  int refreshes_ = 0;  // Among the questions.
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_TESTING_DATA_PATH_H_
