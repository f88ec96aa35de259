#include "common/tls/ciphertext_buffer.h"

#include <algorithm>
#include <cstring>

#include "common/base/check.h"
#include "common/base/release_memory.h"

namespace byrnie {

bssl::UniquePtr<BIO> CiphertextBuffer::NewBio() {
  bssl::UniquePtr<BIO> bio(BIO_new(Method()));
  if (bio) {
    BIO_set_data(bio.get(), this);
    BIO_set_init(bio.get(), 1);
  }
  return bio;
}

const BIO_METHOD* CiphertextBuffer::Method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(0, "byrnie ciphertext buffer");
    CHECK(made != nullptr && BIO_meth_set_read(made, BioRead) &&
          BIO_meth_set_write(made, BioWrite) && BIO_meth_set_ctrl(made, BioControl));
    return made;
  }();
  return method;
}

int CiphertextBuffer::BioRead(BIO* bio, char* out, int size) {
  BIO_clear_retry_flags(bio);
  if (size <= 0) return 0;
  return static_cast<CiphertextBuffer*>(BIO_get_data(bio))
      ->Read(bio, absl::MakeSpan(reinterpret_cast<uint8_t*>(out), static_cast<size_t>(size)));
}

// Takes everything: whoever writes looks at unsent() first, so that BoringSSL never holds a record
// of its own back and a retry never has to repeat the same bytes.
int CiphertextBuffer::BioWrite(BIO* bio, const char* in, int size) {
  BIO_clear_retry_flags(bio);
  if (size <= 0) return 0;
  static_cast<CiphertextBuffer*>(BIO_get_data(bio))->out_.append(in, static_cast<size_t>(size));
  return size;
}

long CiphertextBuffer::BioControl(BIO* /*bio*/, int command, long /*arg*/, void* /*pointer*/) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int CiphertextBuffer::Read(BIO* bio, absl::Span<uint8_t> out) {
  if (unread() == 0) {
    if (eof_) return 0;
    if (broken_) return -1;
    if (read_blocked_) {
      BIO_set_retry_read(bio);
      return -1;
    }
    // Not value-initialised: only what the transport writes is ever touched.
    if (!in_) {
      in_size_ = use_.Limit(kReadAhead);
      in_.reset(new uint8_t[in_size_]);
    }
    const IoResult result = transport_->Read(absl::MakeSpan(in_.get(), in_size_));
    in_begin_ = in_end_ = 0;
    switch (result.status) {
      case IoStatus::kOk:
        in_end_ = result.bytes;
        break;
      case IoStatus::kWouldBlock:
        in_end_ = result.bytes;
        read_blocked_ = true;
        break;
      case IoStatus::kEof:
        eof_ = true;
        break;
      case IoStatus::kError:
        broken_ = true;
        break;
    }
    if (unread() == 0) {
      in_.reset();
      if (eof_) return 0;
      if (!broken_) BIO_set_retry_read(bio);
      return -1;
    }
  }
  const size_t size = std::min(out.size(), unread());
  memcpy(out.data(), in_.get() + in_begin_, size);
  in_begin_ += size;
  if (unread() == 0) in_.reset();
  return static_cast<int>(size);
}

IoStatus CiphertextBuffer::Flush() {
  while (unsent() > 0) {
    if (broken_) return IoStatus::kError;
    if (write_blocked_) return IoStatus::kWouldBlock;
    const IoResult result = transport_->Write(
        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(out_.data()) + out_begin_, unsent()));
    if (result.status == IoStatus::kError || result.status == IoStatus::kEof) {
      return IoStatus::kError;
    }
    out_begin_ += result.bytes;
    if (result.status == IoStatus::kWouldBlock) write_blocked_ = true;
    // Moved down only when half is gone: a trickle must not copy the rest for each byte.
    if (out_begin_ * 2 > out_.size()) {
      out_.erase(0, out_begin_);
      out_begin_ = 0;
    }
  }
  ReleaseMemory(&out_);
  out_begin_ = 0;
  return IoStatus::kOk;
}

}  // namespace byrnie
