// How fast certificates are issued. For test/bench/issuance.py.
//
// Without --target: what the signatures of a renewal cost by themselves, in BoringSSL alone, and
// what the control plane's own code for them costs, both on one thread and in memory. Prints
//   {"limit_us": L, "in_process_us": P}     CPU time of each, in microseconds
//
// With --target: callers of a control plane over real gRPC, TLS and client certificates included.
// It does the next thing when it reads a line, and says what became of it in a line of JSON:
//   calls N          renewals over the connections there are, many at the same time
//   connections N    renewals, each over a connection of its own, as agents make them
//   {"calls": N, "seconds": S}
//   end              ends

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "byrnie/ca/v1/ca.grpc.pb.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "common/crypto/certificate.h"
#include "common/crypto/csr.h"
#include "common/crypto/private_key.h"
#include "common/grpc/control_plane_channel.h"
#include "common/identity/svid_verifier.h"
#include "common/identity/trust_bundle.h"
#include "controlplane/ca/authority.h"
#include "controlplane/ca/testing/self_signed.h"
#include "grpcpp/client_context.h"
#include "openssl/ec.h"
#include "openssl/ec_key.h"
#include "openssl/ecdsa.h"
#include "openssl/nid.h"
#include "openssl/sha2.h"

ABSL_FLAG(std::string, target, "", "HOST:PORT of the control plane; empty: in memory alone");
ABSL_FLAG(std::string, trust_domain, "cluster.local", "of the control plane");
ABSL_FLAG(std::string, bundle, "", "file with the trust bundle");
ABSL_FLAG(std::string, cert, "", "file with the callers' certificate chain");
ABSL_FLAG(std::string, key, "", "file with its key");
ABSL_FLAG(int, connections, 4, "how many connections calls share");
ABSL_FLAG(int, at_once, 32, "how many calls are under way");

namespace byrnie {
namespace {

namespace v1 = byrnie::ca::v1;

constexpr size_t kMaxFile = 1024 * 1024;
constexpr absl::Duration kPatience = absl::Seconds(60);
constexpr absl::Duration kMeasured = absl::Seconds(1);
// Of a workload's certificate, about.
constexpr size_t kSignedBytes = 400;

absl::Duration CpuTime() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return absl::DurationFromTimespec(now);
}

// Microseconds of CPU that `work` takes.
template <typename Work>
double Measure(const Work& work) {
  work();
  const absl::Duration begun = CpuTime();
  int64_t count = 0;
  while (CpuTime() - begun < kMeasured) {
    for (int i = 0; i < 50; ++i) work();
    count += 50;
  }
  return absl::ToDoubleMicroseconds(CpuTime() - begun) / static_cast<double>(count);
}

// A renewal verifies two signatures, of the caller's certificate and of the request, and makes one.
double MeasureLimit() {
  const bssl::UniquePtr<EC_KEY> key(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  CHECK(key != nullptr && EC_KEY_generate_key(key.get()));
  const std::string text(kSignedBytes, 'x');
  std::vector<uint8_t> signature(ECDSA_size(key.get()));
  uint8_t digest[SHA256_DIGEST_LENGTH];
  return Measure([&] {
    const auto hash = [&] {
      SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), digest);
    };
    hash();
    unsigned size = 0;
    CHECK(ECDSA_sign(0, digest, sizeof(digest), signature.data(), &size, key.get()));
    for (int i = 0; i < 2; ++i) {
      hash();
      CHECK(ECDSA_verify(0, digest, sizeof(digest), signature.data(), size, key.get()) == 1);
    }
  });
}

// The same with all that is read, checked and encoded around the signatures.
double MeasureInProcess() {
  SystemClock clock;
  const Authority authority(SelfSigned("cluster.local", clock.WallNow()), &clock);
  const auto bundles = *TrustBundleSet::Create({{"cluster.local", {authority.snapshot()->roots}}});
  const auto key = *PrivateKey::Generate();
  const std::string csr = *CreateCsr(*key, "spiffe://cluster.local/ns/bench/sa/agent");
  const SpiffeId id = *SpiffeId::Parse("spiffe://cluster.local/ns/bench/sa/agent");
  const CertificateChain held =
      authority.Issue(id, *VerifyCsr(csr), absl::nullopt, absl::Hours(1))->chain;
  const std::string pem = held.front()->ToPem();
  return Measure([&] {
    const absl::StatusOr<CertificateChain> shown = Certificate::ListFromPem(pem);
    const absl::StatusOr<VerifiedSvid> caller = VerifySvid(*shown, bundles, clock.WallNow());
    const absl::StatusOr<std::string> public_key = VerifyCsr(csr);
    CHECK(caller.ok() && public_key.ok());
    CHECK(authority.Issue(caller->id, *public_key, absl::nullopt, absl::Hours(1)).ok());
  });
}

// Renewals, a number of them at the same time.
class Callers {
 public:
  Callers(ControlPlaneChannelOptions options, v1::IssueRequest request)
      : options_(std::move(options)), request_(std::move(request)) {}

  absl::Status Run(int calls, bool own_connections) {
    {
      absl::MutexLock lock(&mu_);
      left_ = calls;
      own_connections_ = own_connections;
    }
    while (!own_connections && stubs_.size() < size_t(absl::GetFlag(FLAGS_connections))) {
      ASSIGN_OR_RETURN(std::shared_ptr<Stub> stub, NewStub());
      stubs_.push_back(std::move(stub));
    }
    for (int i = 0; i < absl::GetFlag(FLAGS_at_once); ++i) Next();
    absl::MutexLock lock(&mu_);
    const auto ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return under_way_ == 0 && (left_ == 0 || !failure_.ok());
    };
    if (!mu_.AwaitWithTimeout(absl::Condition(&ended), kPatience)) {
      return absl::DeadlineExceededError("calls do not end");
    }
    return failure_;
  }

 private:
  using Stub = v1::CertificateAuthority::Stub;
  struct Call {
    std::shared_ptr<Stub> stub;
    grpc::ClientContext context;
    v1::IssueResponse response;
  };

  absl::StatusOr<std::shared_ptr<Stub>> NewStub() {
    ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, CreateControlPlaneChannel(options_));
    return std::shared_ptr<Stub>(v1::CertificateAuthority::NewStub(channel));
  }

  void Next() {
    auto call = std::make_shared<Call>();
    bool own = false;
    {
      absl::MutexLock lock(&mu_);
      if (left_ == 0 || !failure_.ok()) return;
      ++under_way_;
      own = own_connections_;
      if (!own) call->stub = stubs_[static_cast<size_t>(left_) % stubs_.size()];
      --left_;
    }
    if (own) call->stub = *NewStub();
    call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    // As an agent does, it tries again where a handshake takes too long.
    call->context.set_wait_for_ready(true);
    call->stub->async()->Issue(&call->context, &request_, &call->response,
                               [this, call](const grpc::Status& status) { OnEnd(status); });
  }
  void OnEnd(const grpc::Status& status) {
    if (status.ok()) Next();
    absl::MutexLock lock(&mu_);
    --under_way_;
    if (!status.ok()) failure_.Update(absl::UnavailableError(status.error_message()));
  }

  const ControlPlaneChannelOptions options_;
  const v1::IssueRequest request_;
  std::vector<std::shared_ptr<Stub>> stubs_;
  absl::Mutex mu_;
  int left_ ABSL_GUARDED_BY(mu_) = 0;
  int under_way_ ABSL_GUARDED_BY(mu_) = 0;
  bool own_connections_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
};

void Say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

absl::Status RunCallers() {
  ControlPlaneChannelOptions options;
  options.target = absl::GetFlag(FLAGS_target);
  options.trust_domain = absl::GetFlag(FLAGS_trust_domain);
  ASSIGN_OR_RETURN(options.trust_bundle_pem, ReadFile(absl::GetFlag(FLAGS_bundle), kMaxFile));
  ControlPlaneClientIdentity identity;
  ASSIGN_OR_RETURN(std::string chain, ReadFile(absl::GetFlag(FLAGS_cert), kMaxFile));
  ASSIGN_OR_RETURN(identity.chain, Certificate::ListFromPem(chain));
  ASSIGN_OR_RETURN(SecretBytes key, ReadSecretFile(absl::GetFlag(FLAGS_key), kMaxFile));
  ASSIGN_OR_RETURN(identity.key, PrivateKey::FromPem(key));
  // The next key is the caller's business; the control plane has never seen one before.
  v1::IssueRequest request;
  ASSIGN_OR_RETURN(*request.mutable_csr(), CreateCsr(*identity.key, ""));
  options.identity = std::move(identity);
  Callers callers(std::move(options), std::move(request));
  for (std::string line; std::getline(std::cin, line) && line != "end";) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    int calls = 0;
    if (words.size() != 2 || !absl::SimpleAtoi(words[1], &calls)) {
      return absl::InvalidArgumentError("neither \"calls N\" nor \"connections N\"");
    }
    const absl::Time begun = absl::Now();
    RETURN_IF_ERROR(callers.Run(calls, words[0] == "connections"));
    Say(absl::StrFormat(R"({"calls": %d, "seconds": %.3f})", calls,
                        absl::ToDoubleSeconds(absl::Now() - begun)));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace byrnie

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  if (absl::GetFlag(FLAGS_target).empty()) {
    byrnie::Say(absl::StrFormat(R"({"limit_us": %.2f, "in_process_us": %.2f})",
                                byrnie::MeasureLimit(), byrnie::MeasureInProcess()));
    return 0;
  }
  const absl::Status status = byrnie::RunCallers();
  if (status.ok()) return 0;
  std::cerr << "issuance_bench: " << status.message() << std::endl;
  return 1;
}
