#include "proxy/redirect_check.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

constexpr int kUnansweredIsGone = 3;

constexpr char kGoneText[] =
    "the redirect rules are gone: the application's connections go past this proxy, in plaintext; "
    "find out who changed them, then end this pod, or run byrnie-redirect apply in it";

}  // namespace

constexpr absl::Duration RedirectCheck::kInterval;
constexpr absl::Duration RedirectCheck::kFirstInterval;
constexpr absl::Duration RedirectCheck::kStartTakes;

absl::StatusOr<UniqueFd> TakePort(uint16_t port) {
  // Bound, it refuses; without SO_REUSEADDR nobody else can bind it.
  const auto bound = [](const UniqueFd& fd, const auto& address) {
    return fd && bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  };
  UniqueFd both(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 any6 = {};
  any6.sin6_family = AF_INET6;
  any6.sin6_port = htons(port);
  const int off = 0;
  if (both) setsockopt(both.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  if (bound(both, any6)) return both;
  // No IPv6 in this kernel or namespace.
  if (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL) {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in any4 = {};
    any4.sin_family = AF_INET;
    any4.sin_port = htons(port);
    if (bound(fd, any4)) return fd;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("cannot take port ", port, ": ", strerror(errno)));
}

RedirectCheck::RedirectCheck(EventLoop* loop, uint16_t port, ProbeDialer* dialer, Gauge* in_place,
                             Logger* logger)
    : loop_(loop),
      began_(loop->Now()),
      address_(*SocketAddress::Parse(absl::StrCat("127.0.0.1:", port))),
      dialer_(dialer),
      in_place_(in_place),
      logger_(logger),
      timer_(loop->NewTimer([this] { Look(); })) {
  in_place_->Set(0);
  timer_->Schedule(absl::ZeroDuration());
}

absl::optional<std::string> RedirectCheck::WhyNotReady() const {
  switch (state_) {
    case State::kInPlace:
      return absl::nullopt;
    case State::kNotSeen:
      return "the redirect rules are not in place yet";
    case State::kGone:
      break;
  }
  return kGoneText;
}

void RedirectCheck::Look() {
  attempt_ = dialer_->Dial(
      address_, /*tls=*/false, kTimeout,
      [this](absl::StatusOr<std::unique_ptr<ByteStream>> stream) { OnAnswer(std::move(stream)); });
}

void RedirectCheck::OnAnswer(absl::StatusOr<std::unique_ptr<ByteStream>> stream) {
  attempt_.reset();
  if (stream.ok()) {
    // A connection that ends in order would be remembered by the kernel for a minute.
    (*stream)->Reset();
    unanswered_ = 0;
    SetState(State::kInPlace, absl::OkStatus());
  } else {
    OnFailure(stream.status());
  }
  timer_->Schedule(state_ == State::kNotSeen ? kFirstInterval : kInterval);
}

void RedirectCheck::OnFailure(const absl::Status& why) {
  const bool refused = absl::IsUnavailable(why);
  const bool unanswered = absl::IsDeadlineExceeded(why);
  if (!refused && !unanswered) return;
  unanswered_ = unanswered ? unanswered_ + 1 : 0;
  const bool gone = state_ == State::kNotSeen ? loop_->Now() - began_ >= kStartTakes
                                              : refused || unanswered_ >= kUnansweredIsGone;
  if (gone) SetState(State::kGone, why);
}

void RedirectCheck::SetState(State state, const absl::Status& why) {
  if (state == state_) return;
  if (state == State::kGone) {
    logger_->Error(kGoneText, {{"error", why.message()}});
  } else if (state_ == State::kGone) {
    logger_->Info("the redirect rules are in place again");
  }
  state_ = state;
  in_place_->Set(state == State::kInPlace ? 1 : 0);
}

}  // namespace byrnie
