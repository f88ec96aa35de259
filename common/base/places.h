#ifndef BYRNIE_COMMON_BASE_PLACES_H_
#define BYRNIE_COMMON_BASE_PLACES_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace byrnie {

// A number of places for what may go on at the same time, and how many of them one holder may have.
// Remembers only holders who have a place. Thread-safe; outlives its places.
class Places {
 public:
  // Given back when destroyed.
  class Place {
   public:
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { places_->GiveBack(holder_); }

   private:
    friend class Places;
    Place(Places* places, std::string holder) : places_(places), holder_(std::move(holder)) {}

    Places* const places_;  // Not owned.
    const std::string holder_;
  };

  enum class Full { kHolder, kAll };

  Places(size_t of_one, size_t of_all) : of_one_(of_one), of_all_(of_all) {}
  // All places have been given back by then.
  ~Places();

  // Null when there is none; `full`, unless that is null, then says whose.
  std::unique_ptr<Place> Take(std::string holder, Full* full = nullptr);

  size_t of_one() const { return of_one_; }
  size_t of_all() const { return of_all_; }
  size_t taken() const;

 private:
  void GiveBack(const std::string& holder);

  const size_t of_one_;
  const size_t of_all_;
  mutable absl::Mutex mu_;
  size_t taken_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<std::string, size_t> holders_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_PLACES_H_
