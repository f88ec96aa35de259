#include "proxy/sniffer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace byrnie {

using State = ClientHelloParser::State;

Sniffer::Sniffer(ByteStream* stream, absl::string_view protocol, absl::Span<uint8_t> scratch,
                 HelloRoom* room, const IpAddress& source, Callback done)
    : stream_(stream),
      protocol_(protocol),
      scratch_(scratch),
      part_(room, source),
      done_(std::move(done)) {
  stream_->SetObserver(this);
}

Sniffer::~Sniffer() {
  if (done_ != nullptr) stream_->SetObserver(nullptr);
}

std::string Sniffer::Describe() const {
  if (bytes_.empty()) return "nothing";
  return absl::StrCat(bytes_.size(), " bytes of ",
                      parser_.state() == State::kNeedMore    ? "an unfinished ClientHello"
                      : parser_.state() == State::kMalformed ? "a malformed ClientHello"
                      : parser_.state() == State::kHello     ? "a ClientHello"
                                                             : "no TLS");
}

std::string Sniffer::TakeBytes() {
  if (done_ != nullptr) {
    done_ = nullptr;
    stream_->SetObserver(nullptr);
  }
  return std::exchange(bytes_, std::string());
}

void Sniffer::OnReadable() {
  // Bounded: the parser decides after what one hello can be long. What is no hello is read no
  // further than to its first piece.
  while (done_ != nullptr) {
    const IoResult result = stream_->Read(scratch_.subspan(0, std::min(scratch_.size(), kFree)));
    if (result.status == IoStatus::kEof) return Finish(Kind::kPlaintext);
    if (result.status == IoStatus::kError) return Finish(Kind::kLost);
    if (result.bytes > 0) {
      bytes_.append(reinterpret_cast<const char*>(scratch_.data()), result.bytes);
      switch (parser_.Feed(scratch_.subspan(0, result.bytes))) {
        case State::kNeedMore:
          if (on_undecided_ != nullptr) std::exchange(on_undecided_, nullptr)();
          if (!KeepMore(result.bytes)) return Finish(Kind::kOverloaded);
          break;
        case State::kHello:
          return Finish(parser_.hello().Offers(protocol_) ? Kind::kMeshTls : Kind::kOtherTls);
        case State::kNotTls:
        case State::kMalformed:
          return Finish(Kind::kPlaintext);
      }
    }
    if (result.status == IoStatus::kWouldBlock) return;
  }
}

bool Sniffer::KeepMore(size_t bytes) {
  if (bytes_.size() <= kFree) return true;
  // The parser has a copy.
  return part_.Grow(2 * std::min(bytes, bytes_.size() - kFree));
}

void Sniffer::Finish(Kind kind) {
  stream_->SetObserver(nullptr);
  Callback done = std::move(done_);
  done_ = nullptr;
  done(kind);
}

}  // namespace byrnie
