// Streams of bytes one way.
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/net/socket.h"
#include "test/bench/load/bulk_order.h"
#include "test/bench/load/client.h"
#include "test/bench/load/filler.h"

namespace byrnie::load {
namespace {

constexpr uint64_t kWarmUpPart = 8;

class Stream final : public Handler {
 public:
  Stream(bool upload, Poller* poller, Measurement* measurement, UniqueFd fd)
      : Handler(std::move(fd)), upload_(upload), poller_(poller), measurement_(measurement) {}

  // Orders `bytes`; the order before is through.
  void Start(uint64_t bytes) {
    order_ = BulkOrder{upload_, bytes}.Encode();
    unsent_ = upload_ ? bytes : 0;
    awaited_ = upload_ ? 1 : bytes;
    poller_->Watch(*this, EPOLLOUT);
  }
  bool through() const { return awaited_ == 0; }

  bool OnEvents(uint32_t events) override {
    const absl::Status status = (events & EPOLLOUT) != 0 && writing() ? OnWritable() : OnReadable();
    if (!status.ok()) measurement_->Fail(status);
    return status.ok();
  }

 private:
  bool writing() const { return !order_.empty() || unsent_ > 0; }

  absl::Status OnWritable() {
    ssize_t sent = 0;
    if (!order_.empty()) {
      sent = send(fd(), order_.data(), order_.size(), MSG_NOSIGNAL);
      if (sent > 0) order_.erase(0, static_cast<size_t>(sent));
    } else {
      sent = SendFiller(fd(), unsent_);
      if (sent > 0) unsent_ -= static_cast<uint64_t>(sent);
    }
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return ConnectionError(errno, "upload");
    if (!writing()) poller_->Watch(*this, EPOLLIN);
    return absl::OkStatus();
  }

  absl::Status OnReadable() {
    const ssize_t got = Discard(fd(), std::max<uint64_t>(awaited_, 1));
    if (got == 0) return absl::UnavailableError("a stream has ended before its last byte");
    if (got < 0) {
      return errno == EAGAIN || errno == EINTR ? absl::OkStatus()
                                               : ConnectionError(errno, "download");
    }
    if (static_cast<uint64_t>(got) > awaited_) {
      return absl::DataLossError("more has come than was ordered");
    }
    awaited_ -= static_cast<uint64_t>(got);
    return absl::OkStatus();
  }

  const bool upload_;
  Poller* const poller_;            // Not owned.
  Measurement* const measurement_;  // Not owned.
  std::string order_;               // What has not been sent of it.
  uint64_t unsent_ = 0;
  uint64_t awaited_ = 0;
};

}  // namespace

void RunBulk(const Options& options, Poller* poller, Measurement* measurement) {
  std::vector<Stream*> streams;
  const auto carry = [&](uint64_t bytes, const char* what) {
    const uint64_t each = bytes / streams.size();
    for (size_t i = 0; i < streams.size(); ++i) {
      streams[i]->Start(std::max<uint64_t>(1, each + (i < bytes % streams.size() ? 1 : 0)));
    }
    return RunUntil(poller, measurement, what, [&streams] {
      return std::all_of(streams.begin(), streams.end(),
                         [](const Stream* stream) { return stream->through(); });
    });
  };
  for (int i = 0; i < options.connections; ++i) {
    absl::StatusOr<UniqueFd> fd = StartConnecting(options.to);
    if (!fd.ok()) return measurement->Fail(fd.status());
    auto stream = std::make_unique<Stream>(options.upload, poller, measurement, *std::move(fd));
    streams.push_back(stream.get());
    const absl::Status added = poller->Add(std::move(stream), EPOLLOUT);
    if (!added.ok()) return measurement->Fail(added);
  }
  if (!carry(options.bytes / kWarmUpPart, "the warm-up does not end")) return;
  measurement->Begin();
  if (carry(options.bytes, "the transfer takes too long")) measurement->End();
}

}  // namespace byrnie::load
