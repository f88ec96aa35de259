#include "common/http2/http2_protocol.h"

#include <algorithm>

#include "common/base/check.h"

namespace byrnie {
namespace {

struct OptionDeleter {
  void operator()(nghttp2_option* option) const { nghttp2_option_del(option); }
};

Http2Events* Events(void* user_data) { return static_cast<Http2Events*>(user_data); }

const nghttp2_session_callbacks* Callbacks() {
  // Made once and never changed; a plain pointer, so nothing runs at exit.
  static const nghttp2_session_callbacks* const kCallbacks = [] {
    nghttp2_session_callbacks* callbacks = nullptr;
    CHECK_EQ(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame*, void* self) {
          return Events(self)->OnBeginHeaders();
        });
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame*, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* self) {
          return Events(self)->OnHeader({reinterpret_cast<const char*>(name), name_size},
                                        {reinterpret_cast<const char*>(value), value_size});
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
          return Events(self)->OnFrameReceived(frame);
        });
    nghttp2_session_callbacks_set_on_frame_send_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
          return Events(self)->OnFrameSent(frame);
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks,
        [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* self) {
          return Events(self)->OnDataChunk(id, absl::MakeConstSpan(data, size));
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, int32_t id, uint32_t error_code, void* self) {
          return Events(self)->OnStreamClose(id, error_code);
        });
    nghttp2_session_callbacks_set_data_source_read_length_callback(
        callbacks,
        [](nghttp2_session*, uint8_t, int32_t, int32_t, int32_t, uint32_t, void*) -> ssize_t {
          return ConnectSession::kDataPerRecord;
        });
    nghttp2_session_callbacks_set_send_data_callback(
        callbacks, [](nghttp2_session*, nghttp2_frame* frame, const uint8_t* header, size_t length,
                      nghttp2_data_source*,
                      void* self) { return Events(self)->OnSendData(frame, header, length); });
    return callbacks;
  }();
  return kCallbacks;
}

}  // namespace

Http2SessionPtr NewHttp2Session(TunnelStream::Role role, const ConnectSession::Options& options,
                                Http2Events* events) {
  const bool server = role == TunnelStream::Role::kServer;
  nghttp2_option* raw_option = nullptr;
  CHECK_EQ(nghttp2_option_new(&raw_option), 0);
  const std::unique_ptr<nghttp2_option, OptionDeleter> option(raw_option);
  nghttp2_option_set_no_auto_window_update(raw_option, 1);
  nghttp2_option_set_no_closed_streams(raw_option, 1);
  nghttp2_option_set_max_outbound_ack(raw_option, 256);
  nghttp2_option_set_max_settings(raw_option, 32);
  nghttp2_option_set_peer_max_concurrent_streams(raw_option, 100);
  nghttp2_option_set_max_deflate_dynamic_table_size(raw_option, 1024);
  // Debian's nghttp2 counts every RST_STREAM; those of answered tunnels are ordinary resets of
  // applications. AbuseGuard counts the others, more strictly.
  nghttp2_option_set_stream_reset_rate_limit(raw_option, 10000, 2000);

  nghttp2_session* raw_session = nullptr;
  if (server) {
    CHECK_EQ(nghttp2_session_server_new2(&raw_session, Callbacks(), events, raw_option), 0);
  } else {
    CHECK_EQ(nghttp2_session_client_new2(&raw_session, Callbacks(), events, raw_option), 0);
  }
  Http2SessionPtr session(raw_session);

  std::vector<nghttp2_settings_entry> settings = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.least_window},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, options.max_frame_size},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, options.max_header_list_size},
  };
  if (server) {
    settings.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.max_concurrent_streams});
    // Header tables stay as they are, 4096 bytes: Go's clients before 1.20 do not hear of a smaller
    // one, and their second request would be a COMPRESSION_ERROR.
  } else {
    settings.push_back({NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 1024});
    settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  }
  CHECK_EQ(
      nghttp2_submit_settings(raw_session, NGHTTP2_FLAG_NONE, settings.data(), settings.size()), 0);
  const uint64_t all_streams =
      uint64_t{options.max_concurrent_streams} * uint64_t{options.stream_window};
  const int32_t window = static_cast<int32_t>(
      std::clamp<uint64_t>(all_streams, NGHTTP2_INITIAL_CONNECTION_WINDOW_SIZE, INT32_MAX));
  CHECK_EQ(nghttp2_session_set_local_window_size(raw_session, NGHTTP2_FLAG_NONE, 0, window), 0);
  return session;
}

nghttp2_data_provider PullFromEvents() {
  nghttp2_data_provider provider;
  provider.source.ptr = nullptr;
  provider.read_callback = [](nghttp2_session*, int32_t id, uint8_t*, size_t length,
                              uint32_t* flags, nghttp2_data_source*,
                              void* self) { return Events(self)->OnPullData(id, length, flags); };
  return provider;
}

}  // namespace byrnie
