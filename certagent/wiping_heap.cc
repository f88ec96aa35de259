// What this process frees is overwritten first. Keys are in memory of their own and wiped there,
// but tokens, and whatever a library makes of them, pass through buffers that are not ours: request
// metadata in gRPC, frames on their way to OpenSSL. Freed, they would lie in the heap until
// somebody needs the room.
//
// A program that defines free and realloc replaces them for all libraries it loads, the C library
// included (glibc manual, "Replacing malloc"); both forward to glibc's own heap. operator delete
// calls free. The agent is not busy enough for the cost to show.

#include <malloc.h>
#include <string.h>

#include <algorithm>
#include <cstddef>

// The sanitizers replace the heap themselves, and keep what was freed out of use.
// .bazelrc takes __SANITIZE_THREAD__ away from what includes protobuf, and leaves the other.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(_GLIBCXX_TSAN)

extern "C" {

void __libc_free(void* pointer);

void free(void* pointer) noexcept {
  if (pointer == nullptr) return;
  explicit_bzero(pointer, malloc_usable_size(pointer));
  __libc_free(pointer);
}

// glibc's would leave a copy behind where it moves.
void* realloc(void* pointer, size_t size) noexcept {
  if (pointer == nullptr) return malloc(size);
  if (size == 0) {
    free(pointer);
    return nullptr;
  }
  const size_t room = malloc_usable_size(pointer);
  if (size <= room && size >= room / 2) return pointer;
  void* moved = malloc(size);
  if (moved == nullptr) return nullptr;
  memcpy(moved, pointer, std::min(size, room));
  free(pointer);
  return moved;
}

}  // extern "C"

#endif
