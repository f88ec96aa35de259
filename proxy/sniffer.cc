#include "proxy/sniffer.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace byrnie {

using State = ClientHelloParser::State;

Sniffer::Sniffer(ByteStream* stream, absl::string_view protocol, absl::Span<uint8_t> scratch,
                 BufferBudget* budget, Callback done)
    : stream_(stream),
      protocol_(protocol),
      scratch_(scratch),
      budget_(budget),
      done_(std::move(done)) {
  stream_->SetObserver(this);
}

Sniffer::~Sniffer() {
  if (done_ != nullptr) stream_->SetObserver(nullptr);
  if (reserved_ > 0) budget_->Release(reserved_);
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
  // Bounded: the parser decides after what one hello can be long.
  while (done_ != nullptr) {
    const IoResult result = stream_->Read(scratch_);
    if (result.status == IoStatus::kEof) return Finish(Kind::kPlaintext);
    if (result.status == IoStatus::kError) return Finish(Kind::kLost);
    if (result.bytes > 0) {
      if (budget_ != nullptr) {
        if (!budget_->Reserve(result.bytes)) return Finish(Kind::kOverloaded);
        reserved_ += result.bytes;
      }
      bytes_.append(reinterpret_cast<const char*>(scratch_.data()), result.bytes);
      switch (parser_.Feed(scratch_.subspan(0, result.bytes))) {
        case State::kNeedMore:
          if (on_undecided_ != nullptr) std::exchange(on_undecided_, nullptr)();
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

void Sniffer::Finish(Kind kind) {
  stream_->SetObserver(nullptr);
  Callback done = std::move(done_);
  done_ = nullptr;
  done(kind);
}

}  // namespace byrnie
