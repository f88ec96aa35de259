#include "proxy/remote_signer.h"

#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace byrnie {

RemoteSigner::RemoteSigner(EventLoop* control_loop, Histogram* seconds, Counter* signed_count,
                           Counter* failed_count)
    : control_loop_(control_loop),
      seconds_(seconds),
      signed_(signed_count),
      failed_(failed_count) {}

void RemoteSigner::Sign(absl::string_view leaf_fingerprint_hex, uint16_t scheme, std::string input,
                        EventLoop* loop, Callback done) {
  // The loops' times are constant within a turn, which is coarser than a signature.
  const absl::Time start = absl::Now();
  control_loop_->Post([this, start, loop, scheme, fingerprint = std::string(leaf_fingerprint_hex),
                       input = std::move(input), done = std::move(done)]() mutable {
    auto finish = [this, start, loop,
                   done = std::move(done)](absl::StatusOr<std::string> signature) mutable {
      seconds_->Observe(absl::ToDoubleSeconds(absl::Now() - start));
      (signature.ok() ? signed_ : failed_)->Increment();
      loop->Post([done = std::move(done), signature = std::move(signature)]() mutable {
        done(std::move(signature));
      });
    };
    if (agent_ == nullptr) {
      finish(absl::UnavailableError("the proxy is ending"));
      return;
    }
    agent_->Sign(fingerprint, scheme, std::move(input), std::move(finish));
  });
}

}  // namespace byrnie
