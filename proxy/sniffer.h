#ifndef BYRNIE_PROXY_SNIFFER_H_
#define BYRNIE_PROXY_SNIFFER_H_

#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/net/byte_stream.h"
#include "common/net/socket_address.h"
#include "common/tls/client_hello.h"
#include "proxy/hello_room.h"

namespace byrnie {

// Reads the first bytes of a connection until it is certain what they are. It waits for nothing
// but the client, and keeps what it has read for whoever carries the connection on. Lives on one
// loop; a connection that says nothing costs no buffer.
class Sniffer final : private ByteStream::Observer {
 public:
  enum class Kind {
    kMeshTls,    // A whole ClientHello that offers the mesh's protocol.
    kOtherTls,   // A whole ClientHello that does not: the application's own.
    kPlaintext,  // No ClientHello, or the client ended before one was whole.
    kLost,       // The connection broke.
    kOverloaded  // A long hello, and no room left to keep it.
  };
  // Runs once, in an upcall of the stream or in Poll; may destroy the sniffer.
  using Callback = absl::AnyInvocable<void(Kind kind)>;

  // What any client may send before it is certain: a hello with post-quantum shares is half of it,
  // and a relay keeps as much in any case.
  static constexpr size_t kFree = 4096;

  // Becomes the stream's observer. `protocol` is the ALPN protocol of the mesh. `scratch` holds
  // nothing between events. What `source` sends beyond kFree has to find place in `room`. All
  // outlive the sniffer.
  Sniffer(ByteStream* stream, absl::string_view protocol, absl::Span<uint8_t> scratch,
          HelloRoom* room, const IpAddress& source, Callback done);
  Sniffer(const Sniffer&) = delete;
  Sniffer& operator=(const Sniffer&) = delete;
  ~Sniffer() override;

  // `undecided` runs once, when the first bytes have come and do not tell yet what they are; must
  // not destroy the sniffer.
  void set_on_undecided(absl::AnyInvocable<void()> undecided) {
    on_undecided_ = std::move(undecided);
  }
  // Looks at what has come but has not been told of; `done` may run.
  void Poll() { OnReadable(); }
  // Bytes read so far.
  size_t size() const { return bytes_.size(); }
  // Whether they are a part of a ClientHello whose rest has not come.
  bool unfinished() const {
    return !bytes_.empty() && parser_.state() == ClientHelloParser::State::kNeedMore;
  }
  // How far it got, for people: "300 bytes of a ClientHello".
  std::string Describe() const;
  // The bytes read so far, which are the caller's to carry on; afterwards the sniffer is done with.
  std::string TakeBytes();

 private:
  void OnReadable() override;
  void OnWritable() override {}
  // Whether the last `bytes` of what was read may be kept while more is waited for.
  bool KeepMore(size_t bytes);
  void Finish(Kind kind);

  ByteStream* const stream_;  // Not owned.
  const absl::string_view protocol_;
  const absl::Span<uint8_t> scratch_;
  HelloRoom::Part part_;
  Callback done_;                            // Null once it has run.
  absl::AnyInvocable<void()> on_undecided_;  // Null once it has run.
  ClientHelloParser parser_;
  std::string bytes_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_SNIFFER_H_
