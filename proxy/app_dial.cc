#include "proxy/app_dial.h"

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "proxy/access_record.h"

namespace byrnie {
namespace {

// Ports to borrow with a client's address. Connection tracking takes a packet of the address's
// owner with the same ports for one of the borrowed connection; hosts choose from 32768 on by
// default, and in an order that the kernel of one machine repeats, so that its own choice would
// often collide. Of clients that choose lower the rules keep what is open apart.
constexpr uint16_t kFirstBorrowedPort = 10000;
constexpr uint16_t kEndOfBorrowed = 32768;
// With a thousand connections of one client to one port, all of these are taken once in 10^10.
constexpr int kMaxAttempts = 8;
// Where a client has a connection of its own from the port, the rules drop the SYN: it is sent from
// another port soon, and the last time for as long as there is. Within the pod, nothing but a full
// accept queue takes as long.
constexpr int kMaxSilentAttempts = 3;
constexpr absl::Duration kSilence = absl::Milliseconds(250);
// With half of the ports taken, all of these are once in 10^5.
constexpr int kMaxOwnAttempts = 16;

}  // namespace

AppTarget FindApp(const ProxyConfig& config, const MeshSnapshot& mesh,
                  const SocketAddress& original_destination) {
  AppTarget target;
  target.address = original_destination;
  target.proxy_protocol = config.inbound.proxy_protocol_ports.contains(original_destination.port());
  const Workload* workload = mesh.routes->FindWorkload(original_destination.ip());
  if (workload != nullptr && workload->proxy_protocol) {
    target.proxy_protocol = true;
    if (workload->proxy_protocol_port != 0) {
      target.address = original_destination.WithPort(workload->proxy_protocol_port);
    }
  }
  return target;
}

AppDial::AppDial(WorkerContext* context, Overload::Who who, const IpAddress& client,
                 const SocketAddress& address, std::string preamble, Callback done)
    : context_(context),
      who_(who),
      address_(address),
      preamble_(std::move(preamble)),
      done_(std::move(done)) {
  if (context_->config->IsPrivatePort(address.port())) {
    refusal_ = context_->loop->NewDeferred([this, address] {
      Callback told = std::move(done_);
      told(absl::PermissionDeniedError(
          absl::StrCat(address.ToString(), " is a port of this pod's sidecar")));
    });
    refusal_->Schedule();
    return;
  }
  if (context_->config->inbound_interception == InboundInterception::kTproxy &&
      client.is_v4() == address.ip().is_v4() && !client.IsLoopback() && !client.IsLinkLocal() &&
      !address.ip().IsLinkLocal()) {
    // Between link-local addresses, and to one, nothing is borrowed: such sockets are bound to the
    // interface, and the route by which the application's answers come back leads over lo.
    borrowed_ = client;
  }
  Connect();
}

void AppDial::Connect() {
  ++attempts_;
  TcpStream::ConnectOptions options;
  options.timeout = context_->config->connect_timeout;
  if (borrowed_) {
    options.source = SocketAddress(
        *borrowed_, absl::Uniform<uint16_t>(context_->random, kFirstBorrowedPort, kEndOfBorrowed));
    options.transparent = true;
    const absl::Duration silence = std::min(kSilence, options.timeout / 8);
    options.timeout =
        silent_ < kMaxSilentAttempts ? silence : options.timeout - kMaxSilentAttempts * silence;
  } else if (attempts_ <= kMaxOwnAttempts && !address_.ip().IsLinkLocal()) {
    // All connections to an application's port come from one address, and each whose client ended
    // first keeps its port for a minute. The kernel goes through the ports one by one for one that
    // is free, which takes milliseconds from some 14000 such connections on, and what is chosen at
    // random a moment. After that many that are taken it shall look at all.
    const PortRange& ports = context_->config->local_ports;
    const auto port =
        absl::Uniform<uint16_t>(absl::IntervalClosed, context_->random, ports.first, ports.last);
    // Not to itself.
    if (port != address_.port()) options.source = SocketAddress(address_.ip(), port);
  }
  attempt_ = TcpStream::Connect(context_->loop, address_, options,
                                [this](absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
                                  OnConnected(std::move(stream));
                                });
}

AppDial::~AppDial() = default;

void AppDial::OnConnected(absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
  if (borrowed_ && absl::IsDeadlineExceeded(stream.status()) && silent_++ < kMaxSilentAttempts) {
    Connect();
    return;
  }
  if (stream.status().code() == absl::StatusCode::kResourceExhausted &&
      attempts_ < (borrowed_ ? kMaxAttempts : kMaxOwnAttempts + 1)) {
    // The port is taken, by another connection.
    Connect();
    return;
  }
  if (stream.ok()) {
    absl::Status taken = context_->overload->CheckDialled((*stream)->fd(), who_);
    if (!taken.ok()) stream = std::move(taken);
  }
  if (stream.ok() && !preamble_.empty()) {
    const absl::Span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(preamble_.data()),
                                          preamble_.size());
    // The buffer of a new socket holds far more than a header. Where it does not take one, the
    // application must not get half of it.
    if ((*stream)->Write(bytes).bytes != preamble_.size()) {
      stream = absl::UnavailableError("the application's socket did not take the PROXY header");
    }
  }
  Callback done = std::move(done_);
  done(std::move(stream));
}

absl::string_view ReasonOfAppDialFailure(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kPermissionDenied:
      return access_reason::kLoop;
    case absl::StatusCode::kDeadlineExceeded:
      return access_reason::kConnectTimeout;
    case absl::StatusCode::kResourceExhausted:
      return access_reason::kTooManySockets;
    default:
      return access_reason::kConnectFailed;
  }
}

}  // namespace byrnie
