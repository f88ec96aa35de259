#include "common/base/secret_memory.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bitset>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/unique_fd.h"

namespace byrnie {
namespace {

// What the smallest usual limit of locked memory allows a process.
constexpr size_t kArenaSize = 64 * 1024;
constexpr size_t kGranule = 64;
constexpr size_t kGranules = kArenaSize / kGranule;
// What a P-256 signature and its ASN.1 use of the stack, several times over.
constexpr size_t kStackWiped = 16 * 1024;

uint8_t* MapHidden() {
#ifdef SYS_memfd_secret
  UniqueFd fd(static_cast<int>(syscall(SYS_memfd_secret, O_CLOEXEC)));
  if (!fd || ftruncate(fd.get(), kArenaSize) != 0) return nullptr;
  void* arena = mmap(nullptr, kArenaSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (arena == MAP_FAILED) return nullptr;
  // Shared memory is not copied for a child: it would be the same.
  if (madvise(arena, kArenaSize, MADV_DONTFORK) != 0) {
    munmap(arena, kArenaSize);
    return nullptr;
  }
  return static_cast<uint8_t*>(arena);
#else
  return nullptr;
#endif
}

uint8_t* MapLocked() {
  void* arena =
      mmap(nullptr, kArenaSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (arena == MAP_FAILED) return nullptr;
  if (mlock(arena, kArenaSize) != 0 || madvise(arena, kArenaSize, MADV_DONTDUMP) != 0 ||
      madvise(arena, kArenaSize, MADV_WIPEONFORK) != 0) {
    munmap(arena, kArenaSize);
    return nullptr;
  }
  return static_cast<uint8_t*>(arena);
}

// First fit over granules. The few hundred bytes that are taken at a time need nothing better.
class Arena {
 public:
  Arena() {
    base_ = MapHidden();
    kind_ = SecretMemoryKind::kHidden;
    if (base_ == nullptr) {
      base_ = MapLocked();
      kind_ = SecretMemoryKind::kLocked;
    }
    if (base_ == nullptr) kind_ = SecretMemoryKind::kOrdinary;
  }

  SecretMemoryKind kind() const { return kind_; }
  bool Contains(const uint8_t* bytes) const {
    return base_ != nullptr && bytes >= base_ && bytes < base_ + kArenaSize;
  }

  // Null: no room for them in one piece.
  uint8_t* Allocate(size_t size) {
    if (base_ == nullptr || size > kArenaSize) return nullptr;
    const size_t wanted = Granules(size);
    absl::MutexLock lock(&mutex_);
    size_t found = 0;
    for (size_t i = 0; i < kGranules; ++i) {
      found = taken_[i] ? 0 : found + 1;
      if (found < wanted) continue;
      const size_t first = i + 1 - wanted;
      for (size_t j = first; j <= i; ++j) taken_[j] = true;
      return base_ + first * kGranule;
    }
    return nullptr;
  }

  // They have been wiped.
  void Free(const uint8_t* bytes, size_t size) {
    const size_t first = static_cast<size_t>(bytes - base_) / kGranule;
    absl::MutexLock lock(&mutex_);
    for (size_t j = first; j < first + Granules(size); ++j) taken_[j] = false;
  }

 private:
  static size_t Granules(size_t size) { return (size + kGranule - 1) / kGranule; }

  uint8_t* base_;
  SecretMemoryKind kind_;
  absl::Mutex mutex_;
  std::bitset<kGranules> taken_ ABSL_GUARDED_BY(mutex_);
};

// As the heap itself, it is the process's and is there until its end.
Arena& TheArena() {
  static Arena& arena = *new Arena;
  return arena;
}

}  // namespace

uint8_t* AllocateSecret(size_t size) {
  if (uint8_t* bytes = TheArena().Allocate(size)) return bytes;
  return new uint8_t[size]();
}

void FreeSecret(uint8_t* bytes, size_t size) {
  // The arena is given out again as it is: wiped here means zero there.
  explicit_bzero(bytes, size);
  Arena& arena = TheArena();
  if (arena.Contains(bytes)) {
    arena.Free(bytes, size);
  } else {
    delete[] bytes;
  }
}

SecretMemoryKind SecretMemoryInUse() { return TheArena().kind(); }

absl::string_view SecretMemoryKindName(SecretMemoryKind kind) {
  switch (kind) {
    case SecretMemoryKind::kHidden:
      return "hidden";
    case SecretMemoryKind::kLocked:
      return "locked";
    case SecretMemoryKind::kOrdinary:
      break;
  }
  return "ordinary";
}

bool IsInSecretArena(const uint8_t* bytes) { return TheArena().Contains(bytes); }

__attribute__((noinline)) void WipeStackBelow() {
  uint8_t used[kStackWiped];
  explicit_bzero(used, sizeof(used));
}

}  // namespace byrnie
