#ifndef BYRNIE_COMMON_NET_BUFFER_BUDGET_H_
#define BYRNIE_COMMON_NET_BUFFER_BUDGET_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace byrnie {

// The memory that the buffers of all connections share. A short budget slows connections down and
// never ends one: every buffer has its least, which is always granted and which whoever takes new
// connections reckons with, and beyond that it grows only as far as Share() says. What a peer has
// been promised room for counts like what is there, because it cannot be taken back.
class BufferBudget {
 public:
  virtual ~BufferBudget() = default;
  // How large one buffer may be now: a part of what is left, so that there is something left for
  // the next, and so that many that grow end up alike.
  virtual size_t Share() const = 0;
  // At least half is left: a buffer may be given more than its least before it needs it.
  virtual bool Plenty() const = 0;
  // How large one buffer may be beyond what many may be at a time: a part of the first quarter, and
  // nothing once that is in use.
  virtual size_t Spare() const = 0;
  // Changes the sums: what is always granted; what is promised beyond that; the memory in use for
  // either.
  virtual void Add(int64_t least, int64_t more, int64_t held) = 0;
  // How large a buffer may be now: `most` if there is room, its `least` if there is none.
  size_t Limit(size_t least, size_t most) const { return std::min(most, std::max(least, Share())); }
};

// One buffer's part of a budget, returned when it is destroyed.
class BufferUse {
 public:
  // `budget` outlives this; null: no limit.
  BufferUse(BufferBudget* budget, size_t least)
      : budget_(budget), least_(static_cast<uint32_t>(least)) {
    if (budget_ != nullptr) budget_->Add(least_, 0, 0);
  }
  BufferUse(const BufferUse&) = delete;
  BufferUse& operator=(const BufferUse&) = delete;
  ~BufferUse() {
    if (budget_ == nullptr) return;
    Set(0, 0);
    budget_->Add(-int64_t{least_}, 0, 0);
  }

  // How large the buffer may be now.
  size_t Limit(size_t most) const {
    return budget_ == nullptr ? most : budget_->Limit(least_, most);
  }
  bool Plenty() const { return budget_ == nullptr || budget_->Plenty(); }
  // `few` for a buffer that only few may be as large as, as far as hardly any of the budget is in
  // use; `many` otherwise.
  size_t LimitOfFew(size_t many, size_t few) const {
    return std::max(many, budget_ == nullptr ? few : std::min(few, budget_->Spare()));
  }
  // The buffer may come to hold `promised` bytes and has `held`, which are among them.
  void Set(size_t promised, size_t held) {
    if (budget_ == nullptr) return;
    const int64_t more = std::max<int64_t>(0, static_cast<int64_t>(promised) - least_);
    const int64_t now = static_cast<int64_t>(held);
    if (more == more_ && now == held_) return;
    budget_->Add(0, more - more_, now - held_);
    more_ = static_cast<uint32_t>(more);
    held_ = static_cast<uint32_t>(now);
  }

 private:
  BufferBudget* const budget_;  // Not owned.
  const uint32_t least_;
  uint32_t more_ = 0;
  uint32_t held_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_BUFFER_BUDGET_H_
