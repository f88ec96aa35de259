#include "proxy/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "common/base/check.h"
#include "common/base/testing/fake_clock.h"
#include "common/base/unique_fd.h"
#include "common/identity/identity_snapshot.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "common/tls/testing/local_signer.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/tls_context.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/buffer_budget.h"
#include "proxy/mesh_snapshot.h"
#include "proxy/overload.h"
#include "proxy/process_counts.h"
#include "proxy/proxy_config.h"
#include "proxy/proxy_metrics.h"

namespace byrnie {
namespace {

// What is waited for comes within a few turns; this only ends a test that would wait for ever.
constexpr int kPatience = 1000000;

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// A port that is free for a worker, whose listeners share theirs.
class FreePort {
 public:
  FreePort() : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    socklen_t size = sizeof(address);
    CHECK(setsockopt(socket_.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0);
    CHECK(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    CHECK(getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    number_ = ntohs(address.sin_port);
  }
  uint16_t number() const { return number_; }

 private:
  const UniqueFd socket_;
  uint16_t number_ = 0;
};

class WorkerTest : public ::testing::Test {
 protected:
  WorkerTest()
      : log_(open("/dev/null", O_WRONLY | O_CLOEXEC)),
        logger_(log_.get(), Logger::Format::kJson, LogLevel::kError),
        metrics_(&metric_registry_),
        budget_(1024 * 1024, metrics_.buffered_bytes),
        overload_(Overload::Limits(), metrics_.direction(AccessRecord::Direction::kInbound).open,
                  metrics_.direction(AccessRecord::Direction::kOutbound).open, metrics_.shedding) {
    config_.outbound_port = config_.inbound_port = 0;
    config_.hbone_port = port_.number();
  }

  std::unique_ptr<Worker> NewWorker() {
    Worker::Dependencies dependencies;
    dependencies.config = &config_;
    dependencies.metrics = &metrics_;
    dependencies.logger = &logger_;
    dependencies.clock = &clock_;
    dependencies.budget = &budget_;
    dependencies.overload = &overload_;
    dependencies.counts = &counts_;
    absl::StatusOr<std::unique_ptr<Worker>> worker =
        Worker::Create(dependencies, [](Worker*, uint64_t, const IpAddress&, bool) {});
    CHECK(worker.ok());
    return *std::move(worker);
  }

  // With an identity alone: tunnels may begin.
  MeshSnapshotPtr MakeMesh() {
    auto identity = std::make_shared<IdentityInUse>();
    const TestIdentity own = ca_.IssueSvid("/ns/demo/sa/server");
    identity->identity = *IdentitySnapshot::Create(1, own.chain, ca_.Bundles(), clock_.WallNow());
    identity->client = *TlsContext::Create(TlsRole::kClient, "h2", identity->identity, &signer_);
    identity->server = *TlsContext::Create(TlsRole::kServer, "h2", identity->identity, &signer_);
    auto mesh = std::make_shared<MeshSnapshot>();
    mesh->identity = std::move(identity);
    return mesh;
  }

  // The connections that the worker has, and which thread says so.
  struct Report {
    size_t connections;
    pid_t thread;
  };
  static Report Ask(Worker* worker) {
    std::promise<Report> answer;
    worker->Count([&answer](ConnectionCounts counts) {
      answer.set_value(Report{counts.open, gettid()});
    });
    return answer.get_future().get();
  }
  static bool Eventually(absl::FunctionRef<bool()> condition) {
    for (int i = 0; i < kPatience; ++i) {
      if (condition()) return true;
      std::this_thread::yield();
    }
    return false;
  }
  static void RenewAndWait(Worker* worker) {
    const pid_t before = Ask(worker).thread;
    worker->RenewThread();
    ASSERT_TRUE(Eventually([&] { return Ask(worker).thread != before; }));
  }

  const FreePort port_;
  const UniqueFd log_;
  FakeClock clock_;
  Logger logger_;
  MetricRegistry metric_registry_;
  ProxyMetrics metrics_;
  SharedBufferBudget budget_;
  Overload overload_;
  ProcessCounts counts_;
  ProxyConfig config_;
  const TestCa ca_{"cluster.local", clock_.WallNow()};
  LocalSigner signer_;
};

TEST_F(WorkerTest, RunsWhatWasPostedOnceItsThreadRuns) {
  const std::unique_ptr<Worker> worker = NewWorker();
  std::promise<pid_t> ran;
  worker->Count([&ran](ConnectionCounts) { ran.set_value(gettid()); });
  worker->Start();
  EXPECT_NE(ran.get_future().get(), gettid());
}

TEST_F(WorkerTest, EndsWithoutEverHavingRun) {
  const std::unique_ptr<Worker> worker = NewWorker();
  worker->Count([](ConnectionCounts) { ADD_FAILURE() << "no thread to run on"; });
}

TEST_F(WorkerTest, GoesOnWithANewThread) {
  const std::unique_ptr<Worker> worker = NewWorker();
  worker->Start();
  for (int i = 0; i < 20; ++i) RenewAndWait(worker.get());
}

// What the tasks touch is not protected by anything but the worker's promise to run one at a time,
// each seeing what the ones before it did: ThreadSanitizer checks it.
TEST_F(WorkerTest, RunsAllPostsInOrderWhileItsThreadIsRenewed) {
  constexpr int kPosters = 2;
  constexpr int kPosts = 5000;
  const std::unique_ptr<Worker> worker = NewWorker();
  std::vector<int> seen[kPosters];
  std::vector<pid_t> threads;
  worker->Start();
  std::vector<std::thread> posters;
  for (int poster = 0; poster < kPosters; ++poster) {
    posters.emplace_back([&, poster] {
      for (int i = 0; i < kPosts; ++i) {
        worker->Count([&seen, &threads, poster, i](ConnectionCounts) {
          seen[poster].push_back(i);
          if (threads.empty() || threads.back() != gettid()) threads.push_back(gettid());
        });
      }
    });
  }
  for (int i = 0; i < 30; ++i) {
    RenewAndWait(worker.get());
    // Twice before the first one may have happened.
    worker->RenewThread();
    worker->RenewThread();
  }
  for (std::thread& poster : posters) poster.join();
  Ask(worker.get());
  std::vector<int> all(kPosts);
  for (int i = 0; i < kPosts; ++i) all[i] = i;
  for (const std::vector<int>& numbers : seen) EXPECT_EQ(numbers, all);
  EXPECT_THAT(threads, ::testing::Not(::testing::IsEmpty()));
}

TEST_F(WorkerTest, ConnectionsNoticeNothingOfARenewal) {
  const std::unique_ptr<Worker> worker = NewWorker();
  worker->Start();
  // A connection that comes before the identity is refused.
  std::promise<void> has_identity;
  worker->SetMesh(MakeMesh(), [&has_identity] { has_identity.set_value(); });
  has_identity.get_future().wait();
  const UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit = {10, 0};
  ASSERT_EQ(setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
  const sockaddr_in address = Loopback(port_.number());
  ASSERT_EQ(connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_TRUE(Eventually([&] { return Ask(worker.get()).connections == 1; }));

  for (int i = 0; i < 3; ++i) RenewAndWait(worker.get());
  EXPECT_EQ(Ask(worker.get()).connections, 1u);
  // The new thread hears of it: nothing that is TLS, so the handshake ends.
  constexpr absl::string_view kNotTls = "GET / HTTP/1.1\r\n\r\n";
  ASSERT_EQ(send(client.get(), kNotTls.data(), kNotTls.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(kNotTls.size()));
  char buffer[256];
  ssize_t count;
  while ((count = recv(client.get(), buffer, sizeof(buffer), 0)) > 0) {
  }
  EXPECT_TRUE(count == 0 || errno == ECONNRESET) << errno;
  EXPECT_TRUE(Eventually([&] { return Ask(worker.get()).connections == 0; }));
}

TEST_F(WorkerTest, EndsAmidRenewals) {
  for (int i = 0; i < 100; ++i) {
    std::unique_ptr<Worker> worker = NewWorker();
    worker->Start();
    for (int renewals = i % 4; renewals > 0; --renewals) {
      worker->Count([](ConnectionCounts) {});
      worker->RenewThread();
    }
    if (i % 8 >= 4) Ask(worker.get());
    worker.reset();
  }
}

}  // namespace
}  // namespace byrnie
