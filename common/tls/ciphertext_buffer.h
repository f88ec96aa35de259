#ifndef BYRNIE_COMMON_TLS_CIPHERTEXT_BUFFER_H_
#define BYRNIE_COMMON_TLS_CIPHERTEXT_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/types/span.h"
#include "common/base/release_memory.h"
#include "common/net/buffer_budget.h"
#include "common/net/byte_stream.h"
#include "openssl/bio.h"

namespace byrnie {

// Between an SSL and its transport: reads far ahead, because BoringSSL asks for 5 bytes and then
// for the record, and gathers records into few large writes. Both buffers exist only while they
// hold something, and are small while the budget is short. Lives on one loop; the transport and the
// budget outlive it, and it outlives its BIO.
class CiphertextBuffer {
 public:
  static constexpr size_t kReadAhead = 64 * 1024;
  // At this much unsent the writer has to wait; at most one flight or record goes beyond it.
  static constexpr size_t kHighMark = 64 * 1024;
  // Of both together, however short the budget is.
  static constexpr size_t kLeast = 4 * 1024;

  // `budget` may be null: no limit.
  CiphertextBuffer(ByteStream* transport, BufferBudget* budget)
      : transport_(transport), use_(budget, kLeast) {}
  CiphertextBuffer(const CiphertextBuffer&) = delete;
  CiphertextBuffer& operator=(const CiphertextBuffer&) = delete;

  // Null when memory has run out.
  bssl::UniquePtr<BIO> NewBio();

  // Writes what is gathered as far as the transport takes it: kOk when nothing is left.
  IoStatus Flush();

  void OnTransportReadable() { read_blocked_ = false; }
  void OnTransportWritable() { write_blocked_ = false; }

  size_t unsent() const { return out_.size() - out_begin_; }
  // How much may be unsent now before the writer has to wait.
  size_t high_mark() const { return use_.Limit(kHighMark); }
  size_t low_mark() const { return high_mark() / 2; }
  // The transport's direction towards us has ended, and all of it has been taken.
  bool eof() const { return eof_ && unread() == 0; }
  // The transport is broken.
  bool broken() const { return broken_; }
  // A read may give something now.
  bool MayRead() const { return unread() > 0 || !read_blocked_; }
  size_t allocated() const { return (in_ ? in_size_ : 0) + AllocatedMemory(out_); }
  // Tells the budget what is allocated now, and `beyond` bytes that the SSL holds itself. For the
  // end of each event: what comes and goes within one costs nobody anything.
  void Account(size_t beyond) { use_.Set(allocated() + beyond, allocated() + beyond); }

 private:
  static int BioRead(BIO* bio, char* out, int size);
  static int BioWrite(BIO* bio, const char* in, int size);
  static long BioControl(BIO* bio, int command, long arg, void* pointer);
  static const BIO_METHOD* Method();

  int Read(BIO* bio, absl::Span<uint8_t> out);
  size_t unread() const { return in_end_ - in_begin_; }

  ByteStream* const transport_;  // Not owned.
  BufferUse use_;
  std::unique_ptr<uint8_t[]> in_;
  size_t in_size_ = 0;
  size_t in_begin_ = 0;
  size_t in_end_ = 0;
  std::string out_;
  size_t out_begin_ = 0;
  bool read_blocked_ = false;
  bool write_blocked_ = false;
  bool eof_ = false;
  bool broken_ = false;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_CIPHERTEXT_BUFFER_H_
