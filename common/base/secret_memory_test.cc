#include "common/base/secret_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "common/base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

// What the process's own /proc/self/mem says: the way of debuggers, and of root.
ssize_t ReadThroughProc(const uint8_t* bytes, size_t size, char* out) {
  UniqueFd fd(open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
  return pread(fd.get(), out, size, static_cast<off_t>(reinterpret_cast<uintptr_t>(bytes)));
}

// The flags of the mapping that holds `bytes`, of /proc/self/smaps.
std::string MappingFlags(const uint8_t* bytes) {
  std::ifstream smaps("/proc/self/smaps");
  const auto address = reinterpret_cast<uintptr_t>(bytes);
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    uintptr_t begin = 0, end = 0;
    if (sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      inside = begin <= address && address < end;
    }
    if (inside && line.compare(0, 8, "VmFlags:") == 0) return line;
  }
  return "";
}

bool KernelHasSecretMemory() {
#ifdef SYS_memfd_secret
  return static_cast<bool>(UniqueFd(static_cast<int>(syscall(SYS_memfd_secret, O_CLOEXEC))));
#else
  return false;
#endif
}

TEST(SecretMemoryTest, IsHiddenWhereTheKernelCanHideIt) {
  const bool hidden = KernelHasSecretMemory();
  EXPECT_EQ(SecretMemoryInUse() == SecretMemoryKind::kHidden, hidden);
  uint8_t* bytes = AllocateSecret(32);
  memset(bytes, 0xA5, 32);
  char out[32];
  EXPECT_EQ(ReadThroughProc(bytes, sizeof(out), out), hidden ? -1 : 32);
  // The same look finds what is in ordinary memory.
  std::vector<uint8_t> ordinary(32, 0xA5);
  EXPECT_EQ(ReadThroughProc(ordinary.data(), sizeof(out), out), 32);
  FreeSecret(bytes, 32);
}

TEST(SecretMemoryTest, IsLockedAndNotCopiedForAChild) {
  uint8_t* bytes = AllocateSecret(32);
  ASSERT_TRUE(IsInSecretArena(bytes));
  const std::string flags = MappingFlags(bytes);
  EXPECT_THAT(flags, HasSubstr(" lo"));
  EXPECT_THAT(flags, SecretMemoryInUse() == SecretMemoryKind::kHidden ? HasSubstr(" dc")
                                                                      : HasSubstr(" wf"));
  FreeSecret(bytes, 32);
}

TEST(SecretMemoryTest, IsZeroWhenItIsGivenOutAgain) {
  uint8_t* first = AllocateSecret(100);
  memset(first, 0xFF, 100);
  FreeSecret(first, 100);
  uint8_t* second = AllocateSecret(100);
  EXPECT_EQ(second, first);
  EXPECT_TRUE(std::all_of(second, second + 100, [](uint8_t byte) { return byte == 0; }));
  FreeSecret(second, 100);
}

TEST(SecretMemoryTest, GivesEveryByteOutOnce) {
  std::vector<std::pair<uint8_t*, size_t>> held;
  for (size_t size = 1; size <= 700; size += 3) {
    uint8_t* bytes = AllocateSecret(size);
    memset(bytes, static_cast<int>(size & 0xFF), size);
    held.emplace_back(bytes, size);
    // Holes of all sizes.
    if (size % 5 == 0) {
      FreeSecret(held[held.size() / 2].first, held[held.size() / 2].second);
      held.erase(held.begin() + static_cast<ptrdiff_t>(held.size() / 2));
    }
  }
  for (const auto& [bytes, size] : held) {
    EXPECT_TRUE(std::all_of(bytes, bytes + size,
                            [size = size](uint8_t byte) { return byte == (size & 0xFF); }));
    FreeSecret(bytes, size);
  }
}

TEST(SecretMemoryTest, GoesOnInOrdinaryMemoryWhenTheArenaIsFull) {
  uint8_t* large = AllocateSecret(1 << 20);
  EXPECT_FALSE(IsInSecretArena(large));
  uint8_t* small = AllocateSecret(32);
  EXPECT_TRUE(IsInSecretArena(small));
  FreeSecret(small, 32);
  FreeSecret(large, 1 << 20);
}

// In a process of its own: the arena is made once.
int KindWithoutLockedMemory() {
  if (geteuid() == 0 && (setresgid(65534, 65534, 65534) != 0 || setuid(65534) != 0)) return 100;
  const rlimit none = {0, 0};
  if (setrlimit(RLIMIT_MEMLOCK, &none) != 0) return 101;
  uint8_t* bytes = AllocateSecret(32);
  memset(bytes, 1, 32);
  FreeSecret(bytes, 32);
  return static_cast<int>(SecretMemoryInUse());
}

TEST(SecretMemoryDeathTest, WorksWhereNoMemoryMayBeLocked) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizers make mlock do nothing";
#endif
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(_exit(KindWithoutLockedMemory()),
              ::testing::ExitedWithCode(static_cast<int>(SecretMemoryKind::kOrdinary)), "");
}

// As under a kernel without it.
int KindWithoutMemfdSecret() {
#ifdef SYS_memfd_secret
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_secret, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {4, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    return 100;
  }
#endif
  uint8_t* bytes = AllocateSecret(32);
  const std::string flags = MappingFlags(bytes);
  for (const char* flag : {" lo", " dd", " wf"}) {
    if (flags.find(flag) == std::string::npos) return 101;
  }
  FreeSecret(bytes, 32);
  return static_cast<int>(SecretMemoryInUse());
}

TEST(SecretMemoryDeathTest, IsLockedKeptOutOfCoresAndWipedInAChildElsewhere) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizers make mlock do nothing";
#endif
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(_exit(KindWithoutMemfdSecret()),
              ::testing::ExitedWithCode(static_cast<int>(SecretMemoryKind::kLocked)), "");
}

__attribute__((noinline)) const volatile uint8_t* LeaveOnStack() {
  volatile uint8_t left[256];
  for (size_t i = 0; i < sizeof(left); ++i) left[i] = 0x5A;
  const volatile uint8_t* volatile where = left;
  return where;
}

TEST(SecretMemoryTest, WipesWhatAFunctionLeftOnTheStack) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "local variables are elsewhere";
#endif
  const auto left = reinterpret_cast<uintptr_t>(LeaveOnStack());
  WipeStackBelow();
  // Through the kernel: looking at it here would be undefined.
  char now[256];
  ASSERT_EQ(ReadThroughProc(reinterpret_cast<const uint8_t*>(left), sizeof(now), now), 256);
  // What has run since may have left a few of any value.
  EXPECT_LT(std::count(now, now + sizeof(now), 0x5A), 32);
}

}  // namespace
}  // namespace byrnie
