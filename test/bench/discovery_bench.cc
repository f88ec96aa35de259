// Many agents of one control plane, over real connections: each has a channel of its own, with TLS
// and a client certificate, and a delta ADS stream that acknowledges what it gets. For
// test/bench/discovery.py, which starts it beside the control plane.
//
// It says what it has reached in lines of JSON on stdout, and does the next thing when it reads a
// line:
//   {"streams": N, "open_seconds": S}      all streams have had their first answer
//   round                                  applies another version of one workload
//   {"acknowledged_ms": A, "first_ms": F, "median_ms": M, "last_ms": L}
//                                          the call took A; counted from its answer, the streams
//                                          had it after F to L
//   end                                    closes all, and ends

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "byrnie/operator/v1/operator.grpc.pb.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "common/crypto/certificate.h"
#include "common/crypto/private_key.h"
#include "common/grpc/control_plane_channel.h"
#include "envoy/service/discovery/v3/discovery.grpc.pb.h"
#include "grpcpp/client_context.h"

ABSL_FLAG(std::string, target, "", "HOST:PORT of the control plane");
ABSL_FLAG(std::string, trust_domain, "cluster.local", "of the control plane");
ABSL_FLAG(std::string, bundle, "", "file with the trust bundle");
ABSL_FLAG(std::string, cert, "", "file with the agents' certificate chain");
ABSL_FLAG(std::string, key, "", "file with its key");
ABSL_FLAG(std::string, token, "", "file with an operator's token");
ABSL_FLAG(int, streams, 1000, "how many");
ABSL_FLAG(bool, everything, false, "each wants all resources, not one workload");
ABSL_FLAG(std::string, workload, "bench/changes", "namespace/name of the workload that changes");
ABSL_FLAG(std::string, address, "10.255.255.254", "its address");

namespace byrnie {
namespace {

namespace xds = envoy::service::discovery::v3;
namespace v1 = byrnie::operator_::v1;

constexpr size_t kMaxFile = 1024 * 1024;
// More at once would make handshakes wait longer than a server allows.
constexpr int kOpeningAtOnce = 48;
constexpr absl::Duration kPatience = absl::Seconds(120);
constexpr char kAddressType[] = "type.googleapis.com/istio.workload.Address";

// What all streams tell, and what is waited for.
class Board {
 public:
  void OnOpened() {
    absl::MutexLock lock(&mu_);
    ++opened_;
  }
  void OnBroken(const grpc::Status& status) {
    absl::MutexLock lock(&mu_);
    if (!closing_) std::cerr << "a stream has ended: " << status.error_message() << std::endl;
    ++broken_;
  }
  // A version of the workload that changes has come to a stream.
  void OnVersion(const std::string& version) {
    const absl::Time now = absl::Now();
    absl::MutexLock lock(&mu_);
    seen_.emplace_back(version, now);
  }
  bool WaitForOpened(int count) {
    return Wait([this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return opened_ >= count; });
  }
  // When each stream had a version, sorted; fewer than `count` when that takes too long.
  std::vector<absl::Time> WaitForVersion(const std::string& version, int count) {
    const auto times = [this, &version]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      std::vector<absl::Time> at;
      for (const auto& [seen, time] : seen_) {
        if (seen == version) at.push_back(time);
      }
      std::sort(at.begin(), at.end());
      return at;
    };
    // Looking at all of it each time would slow down what is measured.
    Wait([this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return seen_.size() >= static_cast<size_t>(count);
    });
    absl::MutexLock lock(&mu_);
    std::vector<absl::Time> at = times();
    seen_.clear();
    return at;
  }
  void Close() {
    absl::MutexLock lock(&mu_);
    closing_ = true;
  }
  int broken() {
    absl::MutexLock lock(&mu_);
    return broken_;
  }

 private:
  template <typename Condition>
  bool Wait(Condition condition) {
    absl::MutexLock lock(&mu_);
    const auto either = [this, &condition]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return broken_ > 0 || condition();
    };
    return mu_.AwaitWithTimeout(absl::Condition(&either), kPatience) && broken_ == 0;
  }

  absl::Mutex mu_;
  int opened_ ABSL_GUARDED_BY(mu_) = 0;
  int broken_ ABSL_GUARDED_BY(mu_) = 0;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::pair<std::string, absl::Time>> seen_ ABSL_GUARDED_BY(mu_);
};

// One agent's stream.
class Agent final
    : public grpc::ClientBidiReactor<xds::DeltaDiscoveryRequest, xds::DeltaDiscoveryResponse> {
 public:
  Agent(std::shared_ptr<grpc::Channel> channel, std::string name, Board* board)
      : channel_(std::move(channel)),
        stub_(xds::AggregatedDiscoveryService::NewStub(channel_)),
        name_(std::move(name)),
        board_(board) {}

  void Start() {
    request_.set_type_url(kAddressType);
    if (absl::GetFlag(FLAGS_everything)) {
      request_.add_resource_names_subscribe("*");
    } else {
      request_.add_resource_names_subscribe(name_);
    }
    // As an agent does, it tries again where a handshake takes too long.
    context_.set_wait_for_ready(true);
    stub_->async()->DeltaAggregatedResources(&context_, this);
    StartWrite(&request_);
    StartRead(&response_);
    StartCall();
  }
  void Cancel() { context_.TryCancel(); }
  void WaitUntilDone() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(&done_));
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;
    std::string version;
    for (const auto& resource : response_.resources()) {
      if (resource.name() == name_) version = resource.version();
    }
    if (!version.empty() && opened_) board_->OnVersion(version);
    if (!opened_) board_->OnOpened();
    opened_ = true;
    {
      absl::MutexLock lock(&mu_);
      nonces_.push_back(response_.nonce());
      MaybeAcknowledge();
    }
    StartRead(&response_);
  }
  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    if (ok) MaybeAcknowledge();
  }
  void OnDone(const grpc::Status& status) override {
    board_->OnBroken(status);
    absl::MutexLock lock(&mu_);
    done_ = true;
  }
  void MaybeAcknowledge() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (writing_ || nonces_.empty()) return;
    request_.Clear();
    request_.set_type_url(kAddressType);
    request_.set_response_nonce(nonces_.front());
    nonces_.erase(nonces_.begin());
    writing_ = true;
    StartWrite(&request_);
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<xds::AggregatedDiscoveryService::Stub> stub_;
  const std::string name_;
  Board* const board_;  // Not owned.
  grpc::ClientContext context_;
  xds::DeltaDiscoveryResponse response_;
  bool opened_ = false;
  absl::Mutex mu_;
  xds::DeltaDiscoveryRequest request_;
  std::vector<std::string> nonces_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = true;
  bool done_ ABSL_GUARDED_BY(mu_) = false;
};

class Operator {
 public:
  Operator(const std::shared_ptr<grpc::Channel>& channel, std::string token)
      : stub_(v1::Operator::NewStub(channel)), token_(std::move(token)) {}

  // Applies the workload with this on its node; gives the version.
  absl::StatusOr<std::string> Apply(const std::string& node) {
    const std::vector<std::string> name = absl::StrSplit(absl::GetFlag(FLAGS_workload), '/');
    v1::ApplyRegistryRequest request;
    request.set_document(absl::StrCat(
        "{\"workloads\":[{\"name\":\"", name.back(), "\",\"namespace\":\"", name.front(),
        "\",\"uid\":\"", absl::GetFlag(FLAGS_workload), "\",\"service_account\":\"bench\",",
        "\"addresses\":[\"", absl::GetFlag(FLAGS_address), "\"],\"node\":\"", node, "\"}]}"));
    v1::ApplyRegistryResponse response;
    grpc::ClientContext context;
    context.AddMetadata("authorization", absl::StrCat("Bearer ", token_));
    const grpc::Status status = stub_->ApplyRegistry(&context, request, &response);
    if (!status.ok()) return absl::UnavailableError(status.error_message());
    return response.entries(0).version();
  }

 private:
  const std::unique_ptr<v1::Operator::Stub> stub_;
  const std::string token_;
};

void Say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

absl::Status Round(int number, int streams, Operator* op, Board* board) {
  const absl::Time begun = absl::Now();
  ASSIGN_OR_RETURN(std::string version, op->Apply(absl::StrCat("n", number)));
  const absl::Time acknowledged = absl::Now();
  const std::vector<absl::Time> at = board->WaitForVersion(version, streams);
  if (at.size() != static_cast<size_t>(streams)) {
    return absl::DeadlineExceededError(
        absl::StrCat(at.size(), " of ", streams, " streams have had the change"));
  }
  const auto after = [acknowledged](absl::Time time) {
    return absl::ToDoubleMilliseconds(time - acknowledged);
  };
  Say(absl::StrFormat(
      R"({"acknowledged_ms": %.2f, "first_ms": %.2f, "median_ms": %.2f, "last_ms": %.2f})",
      after(begun) * -1, after(at.front()), after(at[at.size() / 2]), after(at.back())));
  return absl::OkStatus();
}

void RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

absl::Status Run() {
  RaiseDescriptorLimit();
  const int streams = absl::GetFlag(FLAGS_streams);
  ControlPlaneChannelOptions options;
  options.trust_domain = absl::GetFlag(FLAGS_trust_domain);
  ASSIGN_OR_RETURN(options.trust_bundle_pem, ReadFile(absl::GetFlag(FLAGS_bundle), kMaxFile));
  ASSIGN_OR_RETURN(std::string token, ReadFile(absl::GetFlag(FLAGS_token), kMaxFile));
  options.target = absl::GetFlag(FLAGS_target);
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, CreateControlPlaneChannel(options));
  Operator op(channel, std::string(absl::StripAsciiWhitespace(token)));
  RETURN_IF_ERROR(op.Apply("none").status());

  ControlPlaneClientIdentity identity;
  ASSIGN_OR_RETURN(std::string chain, ReadFile(absl::GetFlag(FLAGS_cert), kMaxFile));
  ASSIGN_OR_RETURN(identity.chain, Certificate::ListFromPem(chain));
  ASSIGN_OR_RETURN(SecretBytes key, ReadSecretFile(absl::GetFlag(FLAGS_key), kMaxFile));
  ASSIGN_OR_RETURN(identity.key, PrivateKey::FromPem(key));
  options.identity = identity;

  const absl::Time begun = absl::Now();
  Board board;
  std::vector<std::unique_ptr<Agent>> agents;
  absl::Status status;
  for (int i = 0; i < streams && status.ok(); ++i) {
    ASSIGN_OR_RETURN(channel, CreateControlPlaneChannel(options));
    agents.push_back(
        std::make_unique<Agent>(std::move(channel), absl::GetFlag(FLAGS_workload), &board));
    agents.back()->Start();
    if (!board.WaitForOpened(i + 1 - kOpeningAtOnce)) {
      status = absl::DeadlineExceededError("streams do not open");
    }
  }
  if (status.ok() && !board.WaitForOpened(streams)) {
    status = absl::DeadlineExceededError("not all streams have opened");
  }
  if (status.ok()) {
    Say(absl::StrFormat(R"({"streams": %d, "open_seconds": %.2f})", streams,
                        absl::ToDoubleSeconds(absl::Now() - begun)));
  }
  std::string line;
  for (int number = 0; status.ok() && std::getline(std::cin, line) && line == "round"; ++number) {
    status = Round(number, streams, &op, &board);
  }
  board.Close();
  for (const auto& agent : agents) agent->Cancel();
  for (const auto& agent : agents) agent->WaitUntilDone();
  return status;
}

}  // namespace
}  // namespace byrnie

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const absl::Status status = byrnie::Run();
  if (status.ok()) return 0;
  std::cerr << "discovery_bench: " << status.message() << std::endl;
  return 1;
}
