#ifndef BYRNIE_CONTROLPLANE_ATTEST_VERDICT_MEMORY_H_
#define BYRNIE_CONTROLPLANE_ATTEST_VERDICT_MEMORY_H_

#include <cstddef>
#include <list>
#include <map>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace byrnie {

// Verdicts on credentials, by the hash of each, for a while: T is of a good one. The one that came
// first makes room for the next. Not thread-safe.
template <typename T>
class VerdictMemory {
 public:
  using Verdict = absl::StatusOr<T>;

  explicit VerdictMemory(size_t most) : most_(most) {}

  // Null: none, or none that still holds. Until the next call.
  const Verdict* Find(const std::string& hash, absl::Time now) {
    const auto found = verdicts_.find(hash);
    if (found == verdicts_.end()) return nullptr;
    if (found->second.until > now) return &found->second.verdict;
    Erase(found);
    return nullptr;
  }
  void Put(const std::string& hash, Verdict verdict, absl::Time until) {
    Forget(hash);
    order_.push_back(hash);
    verdicts_.emplace(hash, Remembered{std::move(verdict), until, std::prev(order_.end())});
    if (order_.size() > most_) Forget(std::string(order_.front()));
  }
  void Forget(const std::string& hash) {
    const auto found = verdicts_.find(hash);
    if (found != verdicts_.end()) Erase(found);
  }

 private:
  struct Remembered {
    Verdict verdict;
    absl::Time until;
    std::list<std::string>::iterator place;
  };
  using Verdicts = std::map<std::string, Remembered>;
  void Erase(typename Verdicts::iterator found) {
    order_.erase(found->second.place);
    verdicts_.erase(found);
  }

  const size_t most_;
  Verdicts verdicts_;
  // As they came.
  std::list<std::string> order_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_VERDICT_MEMORY_H_
