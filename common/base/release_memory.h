#ifndef BYRNIE_COMMON_BASE_RELEASE_MEMORY_H_
#define BYRNIE_COMMON_BASE_RELEASE_MEMORY_H_

#include <string>

namespace byrnie {

// Empties `text` and gives its memory back. Neither clear() nor assigning an empty string does:
// libstdc++ copies a short string into the room there is and keeps it.
inline void ReleaseMemory(std::string* text) { std::string().swap(*text); }

// What `text` has allocated; zero where the object itself has room.
inline size_t AllocatedMemory(const std::string& text) {
  return text.capacity() > std::string().capacity() ? text.capacity() : 0;
}

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_RELEASE_MEMORY_H_
