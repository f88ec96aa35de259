#ifndef BYRNIE_COMMON_TLS_CLIENT_HELLO_H_
#define BYRNIE_COMMON_TLS_CLIENT_HELLO_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace byrnie {

// What a TLS client asks for in its first message (RFC 8446 section 4.1.2), as far as it decides
// who answers. Claims: nothing in it is verified.
struct ClientHello {
  // Protocols of ALPN (RFC 7301), in the client's order.
  std::vector<std::string> alpn;
  // The host name of SNI (RFC 6066 section 3); empty: none.
  std::string server_name;

  bool Offers(absl::string_view protocol) const;
};

// Finds out whether a connection begins with a ClientHello, and reads it, from the first bytes as
// they come: cut anywhere, byte by byte, over any number of TLS records. It never guesses and never
// looks further than it must: the first byte that no ClientHello can have there decides. Time and
// memory grow with the bytes fed, once. A value that belongs to one connection.
class ClientHelloParser {
 public:
  enum class State {
    kNeedMore,   // All bytes so far may begin a ClientHello.
    kHello,      // A whole ClientHello; bytes behind it were not looked at.
    kNotTls,     // Not the beginning of a TLS handshake.
    kMalformed,  // It begins like a ClientHello and is none.
  };

  // Of the message with its header. A client with many post-quantum shares needs a few KiB.
  static constexpr size_t kMaxMessage = 16 * 1024;

  // Takes the bytes behind those of earlier calls. All states but kNeedMore are final.
  State Feed(absl::Span<const uint8_t> data);

  State state() const { return state_; }
  // Valid in state kHello.
  const ClientHello& hello() const { return hello_; }

 private:
  void TakeHeaderByte(uint8_t byte);
  // Takes bytes of a record's content; false when the state is final.
  bool TakeContent(absl::Span<const uint8_t> data);

  State state_ = State::kNeedMore;
  // Of the present record.
  uint8_t header_size_ = 0;
  uint16_t content_left_ = 0;
  // The handshake message, without the records around its pieces.
  std::string message_;
  ClientHello hello_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_CLIENT_HELLO_H_
