#include "controlplane/store/etcd/testing/etcd_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "common/base/unique_fd.h"
#include "etcd/etcdserverpb/rpc.grpc.pb.h"
#include "grpcpp/create_channel.h"

namespace byrnie {
namespace {

constexpr char kProgram[] = "/usr/bin/etcd";
constexpr absl::Duration kPatience = absl::Seconds(30);

// Nobody else takes it before etcd does, as a rule; where somebody did, etcd ends at once.
std::string FreeEndpoint() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) return "";
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  return absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
}

bool Answers(const std::string& endpoint) {
  const auto stub =
      etcdserverpb::KV::NewStub(grpc::CreateChannel(endpoint, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  etcdserverpb::RangeRequest request;
  request.set_key("x");
  etcdserverpb::RangeResponse response;
  return stub->Range(&context, request, &response).ok();
}

}  // namespace

absl::StatusOr<std::unique_ptr<EtcdServer>> EtcdServer::Start() {
  if (::access(kProgram, X_OK) != 0) {
    return absl::NotFoundError(absl::StrCat(kProgram, " is not installed; see tools/setup"));
  }
  const char* const parent = ::getenv("TEST_TMPDIR");
  std::string directory = absl::StrCat(parent == nullptr ? "/tmp" : parent, "/etcd-XXXXXX");
  if (::mkdtemp(&directory[0]) == nullptr) return absl::InternalError("cannot make a folder");
  auto server = absl::WrapUnique(new EtcdServer);
  server->directory_ = directory;
  absl::Status status;
  for (int attempt = 0; attempt < 3; ++attempt) {
    server->endpoint_ = FreeEndpoint();
    server->peer_endpoint_ = FreeEndpoint();
    status = server->Restart();
    if (status.ok()) return server;
  }
  return status;
}

EtcdServer::~EtcdServer() { Kill(); }

void EtcdServer::Kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

absl::Status EtcdServer::Spawn() {
  const std::string client = absl::StrCat("http://", endpoint_);
  const std::string peer = absl::StrCat("http://", peer_endpoint_);
  const std::vector<std::string> arguments = {
      kProgram,
      "--name=test",
      absl::StrCat("--data-dir=", directory_, "/", peer_endpoint_),
      absl::StrCat("--listen-client-urls=", client),
      absl::StrCat("--advertise-client-urls=", client),
      absl::StrCat("--listen-peer-urls=", peer),
      absl::StrCat("--initial-advertise-peer-urls=", peer),
      absl::StrCat("--initial-cluster=test=", peer),
      "--logger=zap",
      "--log-level=error",
  };
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const std::string log = absl::StrCat(directory_, "/log");
  const pid_t test = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) return absl::InternalError("cannot fork");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != test) ::_exit(1);
    const int fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(fd, STDOUT_FILENO);
    ::dup2(fd, STDERR_FILENO);
    ::execv(kProgram, argv.data());
    ::_exit(127);
  }
  return absl::OkStatus();
}

absl::Status EtcdServer::Restart() {
  Kill();
  RETURN_IF_ERROR(Spawn());
  const absl::Time deadline = absl::Now() + kPatience;
  while (!Answers(endpoint_)) {
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = -1;
      return absl::UnavailableError("etcd has ended");
    }
    if (absl::Now() > deadline) return absl::UnavailableError("etcd does not answer");
    absl::SleepFor(absl::Milliseconds(20));
  }
  return absl::OkStatus();
}

}  // namespace byrnie
