#ifndef BYRNIE_COMMON_TLS_TESTING_TLS_PAIR_H_
#define BYRNIE_COMMON_TLS_TESTING_TLS_PAIR_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/tls/testing/local_signer.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/tls_stream.h"
#include "gtest/gtest.h"

namespace byrnie {

inline absl::Span<const uint8_t> Bytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

// One end of a TLS connection with a reader that takes what comes and a writer that sends
// `to_send`.
class TlsEndpoint final : public ByteStream::Observer {
 public:
  void Start(EventLoop* loop, std::unique_ptr<ByteStream> transport,
             std::shared_ptr<const TlsContext> context, TlsStream::Options options) {
    stream_ = TlsStream::Create(loop, std::move(transport), std::move(context), std::move(options),
                                [this](absl::Status status) { handshake_ = std::move(status); });
    stream_->SetObserver(this);
    EXPECT_FALSE(handshake_.has_value()) << "the callback ran inside Create";
  }
  void OnReadable() override {
    while (reading_) {
      uint8_t buffer[20000];
      const IoResult result = stream_->Read(absl::MakeSpan(buffer));
      last_read_ = result.status;
      if (result.status == IoStatus::kEof || result.status == IoStatus::kError) return;
      received_.append(reinterpret_cast<char*>(buffer), result.bytes);
      if (result.status == IoStatus::kWouldBlock) return;
    }
  }
  void OnWritable() override {
    while (sent_ < to_send_.size()) {
      const IoResult result = stream_->Write(Bytes(absl::string_view(to_send_).substr(sent_)));
      if (result.status == IoStatus::kError) return;
      sent_ += result.bytes;
      if (result.status == IoStatus::kWouldBlock) return;
    }
    if (shutdown_after_) stream_->ShutdownWrite();
  }
  void Send(std::string text, bool then_shutdown = false) {
    to_send_ += text;
    shutdown_after_ = then_shutdown;
    OnWritable();
  }
  absl::Status handshake() const {
    return handshake_.has_value() ? *handshake_ : absl::UnknownError("still handshaking");
  }

  std::unique_ptr<TlsStream> stream_;
  absl::optional<absl::Status> handshake_;
  IoStatus last_read_ = IoStatus::kWouldBlock;
  std::string received_, to_send_;
  size_t sent_ = 0;
  bool shutdown_after_ = false;
  bool reading_ = true;
};

// A client and a server of one trust domain, over a pair of streams in memory.
class TlsPairTest : public ::testing::Test {
 protected:
  TlsPairTest() : start_(loop_.WallNow()), ca_("td", start_) { Pair({}, {}); }

  void Pair(const MemoryStreamPair::Quota& a, const MemoryStreamPair::Quota& b) {
    pair_ = std::make_unique<MemoryStreamPair>(&loop_, a, b);
  }
  std::shared_ptr<const TlsContext> Context(TlsRole role, const TestIdentity& identity,
                                            const TrustBundleSet& bundles,
                                            const std::string& alpn = "test",
                                            absl::optional<absl::Duration> clock_offset = {}) {
    signer_.AddKey(identity);
    absl::StatusOr<IdentitySnapshotPtr> snapshot =
        IdentitySnapshot::Create(1, identity.chain, bundles, start_, clock_offset);
    EXPECT_THAT(snapshot, IsOk());
    absl::StatusOr<std::shared_ptr<const TlsContext>> context =
        TlsContext::Create(role, alpn, *snapshot, &signer_);
    EXPECT_THAT(context, IsOk());
    return *context;
  }
  std::shared_ptr<const TlsContext> GoodContext(TlsRole role, const std::string& alpn = "test") {
    return Context(role, ca_.IssueSvid(role == TlsRole::kClient ? "/client" : "/server"),
                   ca_.Bundles(), alpn);
  }
  void StartClient(std::shared_ptr<const TlsContext> context, TlsStream::Options options = {}) {
    client_.Start(&loop_, pair_->TakeA(), std::move(context), std::move(options));
  }
  void StartServer(std::shared_ptr<const TlsContext> context, TlsStream::Options options = {}) {
    server_.Start(&loop_, pair_->TakeB(), std::move(context), std::move(options));
  }
  void StartBoth() {
    StartClient(GoodContext(TlsRole::kClient));
    StartServer(GoodContext(TlsRole::kServer));
  }
  void Connect() {
    StartBoth();
    loop_.RunUntilIdle();
    ASSERT_THAT(client_.handshake(), IsOk());
    ASSERT_THAT(server_.handshake(), IsOk());
  }

  ManualEventLoop loop_;
  LocalSigner signer_;
  const absl::Time start_;
  const TestCa ca_;
  std::unique_ptr<MemoryStreamPair> pair_;
  TlsEndpoint client_, server_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_TESTING_TLS_PAIR_H_
