#ifndef BYRNIE_COMMON_TLS_TESTING_LOCAL_SIGNER_H_
#define BYRNIE_COMMON_TLS_TESTING_LOCAL_SIGNER_H_

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/crypto/private_key.h"
#include "common/tls/signer.h"
#include "common/tls/testing/test_ca.h"

namespace byrnie {

// A Signer with the keys in memory, for tests: answers in the next turn, or when told, or with a
// refusal. Outlives nothing but itself: held answers die with it.
class LocalSigner final : public Signer {
 public:
  void AddKey(const TestIdentity& identity);

  // From now on every request fails with this; OK signs again.
  void set_failure(absl::Status failure);
  // From now on requests wait for Release().
  void Hold();
  // Answers what waits, and later requests at once.
  void Release();
  // Requests that wait.
  size_t held() const;
  // Requests ever made.
  int requests() const;

  void Sign(absl::string_view leaf_fingerprint_hex, uint16_t scheme, std::string input,
            EventLoop* loop, Callback done) override;

 private:
  struct Request {
    std::string fingerprint;
    uint16_t scheme;
    std::string input;
    EventLoop* loop;
    Callback done;
  };
  void Answer(Request request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<const PrivateKey>> keys_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  bool holding_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Request> held_ ABSL_GUARDED_BY(mutex_);
  int requests_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_TESTING_LOCAL_SIGNER_H_
