#ifndef BYRNIE_CONTROLPLANE_ATTEST_USED_TOKENS_H_
#define BYRNIE_CONTROLPLANE_ATTEST_USED_TOKENS_H_

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace byrnie {

// Remembers until their end which tokens have been used, so that none is used twice. In memory: a
// process knows what it has seen itself. Thread-safe; time is a parameter.
class UsedTokens {
 public:
  enum class Result {
    kNoted,
    kUsed,  // It has been used before.
    kFull,  // As many of its issuer's are remembered as may be.
  };

  // `capacity`: tokens of one issuer; each takes about 200 bytes.
  explicit UsedTokens(size_t capacity) : capacity_(capacity) {}

  // Whether that token is remembered, as it was noted.
  bool Has(absl::string_view issuer, absl::string_view hash) const;
  // Notes a token, named by a hash of it, that nobody takes any more from `end` on.
  Result Note(absl::string_view issuer, absl::string_view hash, absl::Time end, absl::Time now);
  // It has not been used after all; as it was noted.
  void Forget(absl::string_view issuer, absl::string_view hash, absl::Time end);

 private:
  struct Shelf {
    std::set<std::string> hashes;
    std::set<std::pair<absl::Time, std::string>> by_end;
  };

  const size_t capacity_;
  mutable absl::Mutex mu_;
  std::map<std::string, Shelf, std::less<>> shelves_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_USED_TOKENS_H_
