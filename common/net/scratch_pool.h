#ifndef BYRNIE_COMMON_NET_SCRATCH_POOL_H_
#define BYRNIE_COMMON_NET_SCRATCH_POOL_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace byrnie {

// Large blocks of memory that everything on one loop shares, each lent for a turn at most: bulk
// needs room for as much as one system call can take, and a thousand connections that wait need
// none. Lives on one loop; outlives the blocks it has lent.
class ScratchPool {
 public:
  // Sixteen of the largest TLS records, sealed, with something before and after them.
  static constexpr size_t kBlockSize = 272 * 1024;
  // Lent at once at most: what one connection's bytes go through in a turn, twice.
  static constexpr size_t kMostLent = 8;

  // A block, given back when this is destroyed. Not initialised.
  class Block {
   public:
    Block() = default;
    Block(Block&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), memory_(std::move(other.memory_)) {}
    Block& operator=(Block&& other) noexcept {
      if (this == &other) return *this;
      Return();
      pool_ = std::exchange(other.pool_, nullptr);
      memory_ = std::move(other.memory_);
      return *this;
    }
    ~Block() { Return(); }

    uint8_t* data() const { return memory_.get(); }
    explicit operator bool() const { return memory_ != nullptr; }

   private:
    friend class ScratchPool;
    Block(ScratchPool* pool, std::unique_ptr<uint8_t[]> memory)
        : pool_(pool), memory_(std::move(memory)) {}
    void Return() {
      if (pool_ != nullptr) pool_->TakeBack(std::move(memory_));
      pool_ = nullptr;
      memory_.reset();
    }

    ScratchPool* pool_ = nullptr;  // Not owned; null: no block.
    std::unique_ptr<uint8_t[]> memory_;
  };

  ScratchPool() = default;
  ScratchPool(const ScratchPool&) = delete;
  ScratchPool& operator=(const ScratchPool&) = delete;

  // None when kMostLent are lent.
  Block Borrow();
  // Frees the blocks that have not been needed since the last call.
  void Trim();

  size_t lent() const { return lent_; }
  // The memory that is kept for the next borrower.
  size_t kept() const { return free_.size() * kBlockSize; }

 private:
  void TakeBack(std::unique_ptr<uint8_t[]> memory);

  std::vector<std::unique_ptr<uint8_t[]>> free_;  // The last one back is the next to go.
  size_t lent_ = 0;
  size_t least_free_ = 0;  // Since the last Trim.
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_SCRATCH_POOL_H_
