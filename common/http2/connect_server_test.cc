#include <nghttp2/nghttp2.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/http2/connect_session.h"
#include "common/http2/peer_fault.h"
#include "common/http2/testing/session_pair.h"
#include "common/net/byte_stream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// The server against nghttp2 itself, for what our own client never sends.

// Bytes of a raw client made of nghttp2, for the server under test to read.
class RawClient {
 public:
  RawClient() {
    nghttp2_session_callbacks* callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks,
        [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
           const uint8_t* value, size_t value_size, uint8_t, void* self) {
          if (absl::string_view(reinterpret_cast<const char*>(name), name_size) == ":status") {
            absl::StrAppend(&static_cast<RawClient*>(self)->log, frame->hd.stream_id, ":",
                            absl::string_view(reinterpret_cast<const char*>(value), value_size),
                            " ");
          }
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
          std::string& log = static_cast<RawClient*>(self)->log;
          if (frame->hd.type == NGHTTP2_RST_STREAM) {
            absl::StrAppend(&log, frame->hd.stream_id, ":reset=", frame->rst_stream.error_code,
                            " ");
          }
          if (frame->hd.type == NGHTTP2_GOAWAY) {
            absl::StrAppend(&log, "goaway=", frame->goaway.error_code, " ");
          }
          return 0;
        });
    nghttp2_option* option;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_option_set_peer_max_concurrent_streams(option, 100000);
    nghttp2_session_client_new2(&session, callbacks, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session, 0, nullptr, 0);
  }
  ~RawClient() { nghttp2_session_del(session); }

  int32_t Request(const HeaderList& headers, bool end_stream) {
    std::vector<nghttp2_nv> values;
    for (const auto& [name, value] : headers) {
      values.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                        reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                        value.size(), 0});
    }
    return nghttp2_submit_headers(session, end_stream ? NGHTTP2_FLAG_END_STREAM : 0, -1, nullptr,
                                  values.data(), values.size(), nullptr);
  }
  void Exchange(ByteStream* stream, ManualEventLoop* loop) {
    for (int i = 0; i < 20; ++i) {
      const uint8_t* data;
      ssize_t size;
      while ((size = nghttp2_session_mem_send(session, &data)) > 0) {
        absl::Span<const uint8_t> rest = absl::MakeConstSpan(data, size);
        while (!rest.empty()) {
          const IoResult written = stream->Write(rest);
          if (written.status == IoStatus::kError) return;
          rest.remove_prefix(written.bytes);
          loop->RunUntilIdle();
        }
      }
      loop->RunUntilIdle();
      uint8_t buffer[4096];
      IoResult read;
      while ((read = stream->Read(absl::MakeSpan(buffer))).bytes > 0 &&
             read.status != IoStatus::kError) {
        nghttp2_session_mem_recv(session, buffer, read.bytes);
      }
    }
  }

  nghttp2_session* session;
  std::string log;
};

class ConnectServerTest : public SessionPairTest {
 protected:
  void Listen(const ConnectSession::Options& options = {}) {
    auto [a, b] = MakePair(1 << 20);
    raw_ = std::move(a);
    server_.session = ConnectSession::CreateServer(&loop_, std::move(b), options, &server_);
  }
  void Exchange() { client_.Exchange(raw_.get(), &loop_); }

  std::unique_ptr<ByteStream> raw_;
  RawClient client_;
};

TEST_F(ConnectServerTest, AnswersOtherMethodsWith400AndGoesOn) {
  Listen();
  const int32_t get = client_.Request(
      {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}}, true);
  const int32_t post = client_.Request(
      {{":method", "POST"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}}, false);
  const int32_t connect =
      client_.Request({{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}}, false);
  Exchange();
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(get, ":400")));
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(post, ":400")));
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(post, ":reset=0")));
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(connect, ":200")));
  EXPECT_EQ(server_.requests.size(), 1u);
  EXPECT_EQ(server_.session->open_streams(), 1u);
  EXPECT_THAT(server_.bad,
              ElementsAre(StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is GET, not")),
                          StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is POST, not"))));
}

// RFC 9113 section 8.5: the end of the stream is a FIN, also of a client that has nothing to say.
TEST_F(ConnectServerTest, ARequestThatEndsItsStreamIsATunnelWhoseClientHasNothingToSay) {
  Listen();
  server_.answer = false;
  const int32_t id = client_.Request({{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}}, true);
  Exchange();
  ASSERT_EQ(server_.waiting.size(), 1u);
  ConnectStream& stream = *server_.waiting[0];
  stream.Accept();
  uint8_t buffer[1] = {'x'};
  EXPECT_EQ(stream.Write(buffer).bytes, 1u);
  EXPECT_EQ(stream.Read(absl::MakeSpan(buffer)).status, IoStatus::kEof);
  Exchange();
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(id, ":200")));
}

// Without the answer the client would take the connection for one that never was, and make it anew.
TEST_F(ConnectServerTest, AResetDoesNotOvertakeTheAnswer) {
  Listen();
  server_.answer = false;
  client_.Request({{":method", "CONNECT"}, {":authority", "a:1"}}, false);
  Exchange();
  ASSERT_THAT(server_.waiting, SizeIs(1));
  ConnectStream& stream = *server_.waiting[0];
  stream.Accept();
  stream.Reset();
  EXPECT_FALSE(stream.Flushed());
  Exchange();
  EXPECT_TRUE(stream.Flushed());
  EXPECT_THAT(client_.log, HasSubstr("1:200 1:reset=10 "));
}

TEST_F(ConnectServerTest, AnUnansweredRequestCanBeReset) {
  Listen();
  server_.answer = false;
  client_.Request({{":method", "CONNECT"}, {":authority", "a:1"}}, false);
  Exchange();
  ASSERT_THAT(server_.waiting, SizeIs(1));
  server_.waiting[0]->Reset();
  Exchange();
  EXPECT_THAT(client_.log, HasSubstr("1:reset=10 "));
}

TEST_F(ConnectServerTest, TellsOfEachRequestThatItRefusesUntilThereAreTooMany) {
  Listen();
  for (int i = 0; i < 400; ++i) {
    client_.Request({{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}},
                    true);
    Exchange();
  }
  EXPECT_THAT(client_.log, HasSubstr("goaway=11"));
  EXPECT_THAT(server_.bad, SizeIs(200));
}

TEST_F(ConnectServerTest, RefusesStreamsPastTheLimitAndSaysSo) {
  ConnectSession::Options options;
  options.max_concurrent_streams = 2;
  Listen(options);
  for (int i = 0; i < 3; ++i) {
    client_.Request({{":method", "CONNECT"}, {":authority", "a:1"}}, false);
  }
  Exchange();
  EXPECT_THAT(client_.log, HasSubstr("5:reset=7"));
  EXPECT_THAT(server_.bad, ElementsAre(StatusIs(absl::StatusCode::kResourceExhausted,
                                                HasSubstr("2 streams are open"))));
}

TEST_F(ConnectServerTest, TellsOfARefusalAlsoWhenTheClientEndsAtOnce) {
  Listen();
  Exchange();
  client_.Request({{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}},
                  true);
  const uint8_t* data;
  const ssize_t size = nghttp2_session_mem_send(client_.session, &data);
  raw_->Write(absl::MakeConstSpan(data, static_cast<size_t>(size)));
  raw_->ShutdownWrite();
  loop_.RunUntilIdle();
  EXPECT_THAT(server_.bad, SizeIs(1));
}

TEST_F(ConnectServerTest, ResetsMalformedConnectsAlone) {
  Listen();
  const int32_t path = client_.Request(
      {{":method", "CONNECT"}, {":authority", "a:1"}, {":scheme", "https"}, {":path", "/"}}, false);
  const int32_t nowhere = client_.Request({{":method", "CONNECT"}}, false);
  const int32_t good = client_.Request({{":method", "CONNECT"}, {":authority", "a:1"}}, false);
  Exchange();
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(path, ":reset=1")));
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(nowhere, ":reset=1")));
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(good, ":200")));
  EXPECT_THAT(server_.bad,
              ElementsAre(StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("malformed")),
                          StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("malformed"))));
}

TEST_F(ConnectServerTest, RefusesHeadersThatAreTooLarge) {
  ConnectSession::Options options;
  options.max_header_list_size = 1000;
  Listen(options);
  const int32_t id = client_.Request(
      {{":method", "CONNECT"}, {":authority", "a:1"}, {"x", std::string(2000, 'x')}}, false);
  Exchange();
  EXPECT_THAT(client_.log, HasSubstr(absl::StrCat(id, ":431")));
  EXPECT_THAT(server_.requests, IsEmpty());
  EXPECT_THAT(server_.bad, ElementsAre(StatusIs(absl::StatusCode::kInvalidArgument,
                                                HasSubstr("larger than 1000 bytes"))));
}

TEST_F(ConnectServerTest, EndsASessionThatResetsBeforeItIsAnswered) {
  Listen();
  server_.answer = false;
  for (int i = 0; i < 300; ++i) {
    const int32_t id = client_.Request({{":method", "CONNECT"}, {":authority", "a:1"}}, false);
    Exchange();
    if (absl::StrContains(client_.log, "goaway")) break;
    nghttp2_submit_rst_stream(client_.session, 0, id, NGHTTP2_CANCEL);
    Exchange();
  }
  EXPECT_THAT(client_.log, HasSubstr("goaway=11"));
  Exchange();
  raw_->ShutdownWrite();
  Exchange();
  loop_.AdvanceTime(absl::Seconds(3));
  ASSERT_TRUE(server_.closed.has_value());
  EXPECT_THAT(*server_.closed, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("reset before")));
  EXPECT_EQ(PeerFaultOf(*server_.closed), PeerFault::kFlood);
}

TEST_F(ConnectServerTest, EndsASessionOfAPeerThatSpeaksSomethingElse) {
  Listen();
  const std::string http1 = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  raw_->Write(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(http1.data()), http1.size()));
  loop_.RunUntilIdle();
  loop_.AdvanceTime(absl::Seconds(3));
  ASSERT_TRUE(server_.closed.has_value());
  EXPECT_THAT(*server_.closed, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(PeerFaultOf(*server_.closed), PeerFault::kProtocol);
}

TEST_F(ConnectServerTest, SendsNoPushAndNoStreamAfterGarbageFrames) {
  Listen();
  client_.Request({{":method", "CONNECT"}, {":authority", "a:1"}}, false);
  Exchange();
  // A DATA frame on stream 0 is a connection error (RFC 9113 section 6.1).
  const uint8_t frame[] = {0, 0, 1, 0, 0, 0, 0, 0, 0, 'x'};
  raw_->Write(absl::MakeConstSpan(frame));
  Exchange();
  EXPECT_THAT(client_.log, HasSubstr("goaway=1"));
  loop_.AdvanceTime(absl::Seconds(3));
  ASSERT_TRUE(server_.closed.has_value());
  EXPECT_EQ(PeerFaultOf(*server_.closed), PeerFault::kProtocol);
  EXPECT_TRUE(server_.talkers[0]->error);
}

}  // namespace
}  // namespace byrnie
