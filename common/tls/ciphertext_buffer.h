#ifndef BYRNIE_COMMON_TLS_CIPHERTEXT_BUFFER_H_
#define BYRNIE_COMMON_TLS_CIPHERTEXT_BUFFER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "common/net/buffer_budget.h"
#include "common/net/byte_stream.h"
#include "common/net/scratch_pool.h"
#include "common/net/turn_buffer.h"
#include "openssl/bio.h"

namespace byrnie {

// The largest record's content, what sealing adds (RFC 8446 section 5.2: a header, the type and the
// tag of AES-GCM or ChaCha20-Poly1305), and both.
constexpr size_t kLargestRecord = 16 * 1024;
constexpr size_t kSealingOverhead = 5 + 1 + 16;
constexpr size_t kSealedRecord = kLargestRecord + kSealingOverhead;

// Between an SSL and its transport: reads far ahead, because BoringSSL asks for 5 bytes and then
// for the record, and gathers records into few large writes. What is on its way is in the loop's
// scratch memory; only what is left at the end of an event, because the reader or the transport
// took no more, has memory of its own, and little of it while the budget is short. Lives on one
// loop; the transport, the budget and the scratch memory outlive it, and it outlives its BIO.
class CiphertextBuffer {
 public:
  // Read at once, and unsent before the writer has to wait: whole records and something small with
  // them. At most one flight or record goes beyond it. Less without scratch memory.
  static constexpr size_t kMost = 16 * kSealedRecord + 2 * 1024;
  static constexpr size_t kMostWithoutScratch = 4 * kSealedRecord + 2 * 1024;
  // Of both together, however short the budget is.
  static constexpr size_t kLeast = 4 * 1024;

  // `budget` may be null: no limit. `scratch` too: memory of its own.
  CiphertextBuffer(ByteStream* transport, BufferBudget* budget, ScratchPool* scratch)
      : transport_(transport),
        use_(budget, kLeast),
        most_(scratch == nullptr ? kMostWithoutScratch : kMost),
        in_(scratch),
        out_(scratch) {}
  CiphertextBuffer(const CiphertextBuffer&) = delete;
  CiphertextBuffer& operator=(const CiphertextBuffer&) = delete;

  // Null when memory has run out.
  bssl::UniquePtr<BIO> NewBio();

  // Writes what is gathered as far as the transport takes it: kOk when nothing is left.
  IoStatus Flush();

  void OnTransportReadable() { read_blocked_ = false; }
  void OnTransportWritable() { write_blocked_ = false; }

  size_t unsent() const { return out_.size(); }
  // How much may be unsent now before the writer has to wait: less once the transport has not taken
  // all, for what is sealed has to be kept.
  size_t high_mark() const {
    return use_.Limit(write_blocked_ ? std::min(most_, kMostWithoutScratch) : most_);
  }
  size_t low_mark() const { return high_mark() / 2; }
  // The transport's direction towards us has ended, and all of it has been taken.
  bool eof() const { return eof_ && in_.empty(); }
  // The transport is broken.
  bool broken() const { return broken_; }
  // From now on one read takes what a reader with room for `plain` bytes can use at once.
  void set_reader_room(size_t plain) { reader_room_ = plain; }
  // While held, what is here is given and the transport is not asked for more.
  void HoldReads(bool hold) { held_ = hold; }
  // A read may give something now.
  bool MayRead() const { return !in_.empty() || !read_blocked_; }
  size_t allocated() const { return in_.allocated() + out_.allocated(); }
  // For the end of each event, for what comes and goes within one costs nobody anything: gives the
  // scratch memory back and tells the budget what is allocated now, and `beyond` bytes that the SSL
  // holds itself.
  void Settle(size_t beyond) {
    in_.Settle();
    out_.Settle();
    use_.Set(allocated() + beyond, allocated() + beyond);
  }

 private:
  static int BioRead(BIO* bio, char* out, int size);
  static int BioWrite(BIO* bio, const char* in, int size);
  static long BioControl(BIO* bio, int command, long arg, void* pointer);
  static const BIO_METHOD* Method();

  int Read(BIO* bio, absl::Span<uint8_t> out);
  // Takes what the transport has into in_, which is empty.
  void ReadTransport();

  ByteStream* const transport_;  // Not owned.
  BufferUse use_;
  const size_t most_;
  TurnBuffer in_;
  TurnBuffer out_;
  size_t reader_room_ = kLargestRecord;
  bool held_ = false;
  bool read_blocked_ = false;
  bool write_blocked_ = false;
  bool eof_ = false;
  bool broken_ = false;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_CIPHERTEXT_BUFFER_H_
