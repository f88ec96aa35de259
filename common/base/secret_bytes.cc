#include "common/base/secret_bytes.h"

#include <string.h>

#include <utility>

#include "common/base/secret_memory.h"

namespace byrnie {

SecretBytes::SecretBytes(size_t size)
    : data_(size == 0 ? nullptr : AllocateSecret(size)), size_(size) {}

SecretBytes::SecretBytes(absl::Span<const uint8_t> bytes) : SecretBytes(bytes.size()) {
  if (!bytes.empty()) memcpy(data_, bytes.data(), bytes.size());
}

SecretBytes SecretBytes::TakeFrom(std::string* text) {
  SecretBytes result(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text->data()), text->size()));
  WipeString(text);
  return result;
}

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this != &other) {
    Wipe();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

SecretBytes::~SecretBytes() { Wipe(); }

bool SecretBytes::ConstantTimeEquals(absl::Span<const uint8_t> other) const {
  if (other.size() != size_) return false;
  // volatile keeps the compiler from leaving the loop at the first difference.
  volatile uint8_t difference = 0;
  for (size_t i = 0; i < size_; ++i) difference = difference | (data_[i] ^ other[i]);
  return difference == 0;
}

void SecretBytes::Wipe() {
  if (data_ != nullptr) FreeSecret(data_, size_);
}

void WipeString(std::string* text) {
  // Grown to its capacity first: what an earlier, longer content left behind is wiped too.
  text->resize(text->capacity());
  explicit_bzero(text->data(), text->size());
  text->clear();
}

}  // namespace byrnie
