#ifndef BYRNIE_COMMON_BASE_SECRET_BYTES_H_
#define BYRNIE_COMMON_BASE_SECRET_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace byrnie {

// Bytes that nobody else may see: a private key, a token. In memory of their own (see
// secret_memory.h), move-only, of fixed size, never reallocated, wiped when destroyed or assigned
// over. They have no way to be printed, formatted or compared by accident.
class SecretBytes {
 public:
  SecretBytes() = default;
  // `size` zero bytes, to be filled through mutable_span().
  explicit SecretBytes(size_t size);
  // Copies; the caller wipes the original.
  explicit SecretBytes(absl::Span<const uint8_t> bytes);
  // Copies `text` and wipes it.
  static SecretBytes TakeFrom(std::string* text);

  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes();

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Valid until this object changes. Whoever copies the bytes is responsible for the copy.
  absl::Span<const uint8_t> span() const { return {data_, size_}; }
  absl::Span<uint8_t> mutable_span() { return {data_, size_}; }
  absl::string_view view() const { return {reinterpret_cast<const char*>(data_), size_}; }

  SecretBytes Clone() const { return SecretBytes(span()); }
  // Compares in a time that depends on the sizes alone.
  bool ConstantTimeEquals(absl::Span<const uint8_t> other) const;

 private:
  void Wipe();
  uint8_t* data_ = nullptr;  // Of AllocateSecret; null when size_ is 0.
  size_t size_ = 0;
};

// Overwrites the bytes of `text`, including its spare capacity, and empties it.
void WipeString(std::string* text);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_SECRET_BYTES_H_
