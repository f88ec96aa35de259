#include "common/tls/ciphertext_buffer.h"

#include <algorithm>
#include <cstring>

#include "common/base/check.h"

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
  static_cast<CiphertextBuffer*>(BIO_get_data(bio))
      ->out_.Append(
          absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(in), static_cast<size_t>(size)));
  return size;
}

long CiphertextBuffer::BioControl(BIO* /*bio*/, int command, long /*arg*/, void* /*pointer*/) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int CiphertextBuffer::Read(BIO* bio, absl::Span<uint8_t> out) {
  if (in_.empty() && !eof_ && !broken_ && !read_blocked_ && !held_) ReadTransport();
  if (in_.empty()) {
    if (eof_) return 0;
    if (!broken_) BIO_set_retry_read(bio);
    return -1;
  }
  const size_t size = std::min(out.size(), in_.size());
  memcpy(out.data(), in_.bytes().data(), size);
  in_.Consume(size);
  return static_cast<int>(size);
}

void CiphertextBuffer::ReadTransport() {
  // What the reader has no room for would have to be kept.
  const size_t records = std::max(kLargestRecord, reader_room_) / kLargestRecord;
  const size_t size = use_.Limit(std::min(most_, records * kSealedRecord));
  const IoResult result = transport_->Read(in_.Room(size).first(size));
  switch (result.status) {
    case IoStatus::kOk:
      in_.Commit(result.bytes);
      break;
    case IoStatus::kWouldBlock:
      in_.Commit(result.bytes);
      read_blocked_ = true;
      break;
    case IoStatus::kEof:
      eof_ = true;
      break;
    case IoStatus::kError:
      broken_ = true;
      break;
  }
}

IoStatus CiphertextBuffer::Flush() {
  while (unsent() > 0) {
    if (broken_) return IoStatus::kError;
    if (write_blocked_) return IoStatus::kWouldBlock;
    const IoResult result = transport_->Write(out_.bytes());
    if (result.status == IoStatus::kError || result.status == IoStatus::kEof) {
      return IoStatus::kError;
    }
    out_.Consume(result.bytes);
    if (result.status == IoStatus::kWouldBlock) write_blocked_ = true;
  }
  return IoStatus::kOk;
}

}  // namespace byrnie
