#ifndef BYRNIE_COMMON_TLS_TESTING_HOSTILE_NETWORK_H_
#define BYRNIE_COMMON_TLS_TESTING_HOSTILE_NETWORK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/base/check.h"
#include "common/event/event_loop.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/identity/identity_snapshot.h"
#include "common/net/byte_stream.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/tls/testing/local_signer.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/tls_context.h"
#include "common/tls/tls_stream.h"
#include "gtest/gtest.h"
#include "openssl/ssl.h"

// What tests need to stand between two TLS ends, or in the place of one.
namespace byrnie {

inline constexpr size_t kRecordHeader = 5;
inline void Send(ByteStream* stream, absl::string_view bytes) {
  const IoResult result = stream->Write(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  EXPECT_EQ(result.bytes, bytes.size());
}

inline std::string ReadAll(ByteStream* stream) {
  std::string bytes;
  uint8_t buffer[4096];
  while (true) {
    const IoResult result = stream->Read(absl::MakeSpan(buffer));
    if (result.status == IoStatus::kEof || result.status == IoStatus::kError) return bytes;
    bytes.append(reinterpret_cast<char*>(buffer), result.bytes);
    if (result.bytes == 0) return bytes;
  }
}

// A record (RFC 8446 section 5.1) in the clear.
inline std::string Record(uint8_t type, absl::string_view content) {
  std::string record = {static_cast<char>(type), 3, 3, static_cast<char>(content.size() >> 8),
                        static_cast<char>(content.size() & 0xff)};
  return absl::StrCat(record, content);
}

inline std::string Alert(uint8_t level, uint8_t description) {
  return Record(SSL3_RT_ALERT,
                std::string{static_cast<char>(level), static_cast<char>(description)});
}

// Takes the first whole record off `bytes`; empty when there is none.
inline std::string TakeRecord(std::string* bytes) {
  if (bytes->size() < kRecordHeader) return "";
  const size_t size = kRecordHeader + static_cast<uint8_t>((*bytes)[3]) * size_t{256} +
                      static_cast<uint8_t>((*bytes)[4]);
  if (bytes->size() < size) return "";
  std::string record = bytes->substr(0, size);
  bytes->erase(0, size);
  return record;
}

// A TlsStream that reads whatever comes and remembers how it ended.
class Victim final : public ByteStream::Observer {
 public:
  Victim(EventLoop* loop, std::unique_ptr<ByteStream> transport,
         std::shared_ptr<const TlsContext> context) {
    stream_ = TlsStream::Create(loop, std::move(transport), std::move(context), {},
                                [this](absl::Status status) { handshake_ = std::move(status); });
    stream_->SetObserver(this);
  }
  void OnReadable() override {
    uint8_t buffer[4096];
    do {
      const IoResult result = stream_->Read(absl::MakeSpan(buffer));
      last_read_ = result.status;
      bytes_read_ += result.bytes;
    } while (last_read_ == IoStatus::kOk);
  }
  void OnWritable() override {}

  bool done() const { return handshake_.has_value(); }
  // Refused during the handshake or broken after it, and never a clean end.
  bool ended() const { return done() && (!handshake_->ok() || last_read_ == IoStatus::kError); }
  absl::Status why() const {
    if (!done()) return absl::UnknownError("still handshaking");
    return handshake_->ok() ? stream_->error() : *handshake_;
  }
  IoStatus last_read() const { return last_read_; }
  size_t bytes_read() const { return bytes_read_; }

 private:
  std::unique_ptr<TlsStream> stream_;
  absl::optional<absl::Status> handshake_;
  IoStatus last_read_ = IoStatus::kWouldBlock;
  size_t bytes_read_ = 0;
};

// Somebody between a client and a server who sees records and may add some of their own.
class Middle {
 public:
  explicit Middle(EventLoop* loop) : client_side_(loop), server_side_(loop) {
    to_client_ = client_side_.TakeB();
    to_server_ = server_side_.TakeA();
  }
  std::unique_ptr<ByteStream> TakeClientEnd() { return client_side_.TakeA(); }
  std::unique_ptr<ByteStream> TakeServerEnd() { return server_side_.TakeB(); }
  ByteStream* to(TlsRole role) {
    return role == TlsRole::kClient ? to_client_.get() : to_server_.get();
  }

  // Passes one record on; false when there is none. `pieces`: each byte of it in its own record.
  bool PassOne(bool in_pieces = false) {
    from_client_ += ReadAll(to_client_.get());
    from_server_ += ReadAll(to_server_.get());
    for (const TlsRole to_role : {TlsRole::kServer, TlsRole::kClient}) {
      const std::string record =
          TakeRecord(to_role == TlsRole::kServer ? &from_client_ : &from_server_);
      if (record.empty()) continue;
      if (!in_pieces) {
        Send(to(to_role), record);
      } else {
        for (size_t i = kRecordHeader; i < record.size(); ++i) {
          Send(to(to_role), Record(static_cast<uint8_t>(record[0]), record.substr(i, 1)));
        }
      }
      return true;
    }
    return false;
  }

 private:
  MemoryStreamPair client_side_, server_side_;
  std::unique_ptr<ByteStream> to_client_, to_server_;
  std::string from_client_, from_server_;
};

// An authority of trust domain "td" and two who trust it.
class HostileNetworkTest : public ::testing::Test {
 protected:
  // Turns in which something may still run after one thing has happened to a connection.
  static constexpr int kMaxTurns = 50;

  HostileNetworkTest()
      : start_(loop_.WallNow()),
        ca_("td", start_),
        client_context_(Context(TlsRole::kClient)),
        server_context_(Context(TlsRole::kServer)) {}

  std::shared_ptr<const TlsContext> Context(TlsRole role) {
    const TestIdentity identity = ca_.IssueSvid("/a");
    signer_.AddKey(identity);
    absl::StatusOr<IdentitySnapshotPtr> snapshot =
        IdentitySnapshot::Create(1, identity.chain, ca_.Bundles(), start_);
    CHECK_OK(snapshot);
    absl::StatusOr<std::shared_ptr<const TlsContext>> context =
        TlsContext::Create(role, "test", *snapshot, &signer_);
    CHECK_OK(context);
    return *context;
  }
  std::unique_ptr<Victim> StartServer(MemoryStreamPair* pair) {
    return std::make_unique<Victim>(&loop_, pair->TakeB(), server_context_);
  }
  // Runs until idle, which must be soon.
  void Settle() {
    int turns = 0;
    while (turns <= kMaxTurns && loop_.RunOnce()) ++turns;
    ASSERT_LE(turns, kMaxTurns) << "the loop spins";
  }
  std::string CaptureClientHello() {
    MemoryStreamPair pair(&loop_);
    Victim client(&loop_, pair.TakeA(), client_context_);
    Settle();
    const std::unique_ptr<ByteStream> end = pair.TakeB();
    return ReadAll(end.get());
  }

  ManualEventLoop loop_;
  LocalSigner signer_;
  const absl::Time start_;
  const TestCa ca_;
  const std::shared_ptr<const TlsContext> client_context_, server_context_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_TESTING_HOSTILE_NETWORK_H_
