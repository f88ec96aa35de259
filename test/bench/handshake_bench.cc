// What a full handshake of TLS 1.3 costs BoringSSL alone: both ends in one thread, over memory,
// with certificates that both verify and a key in the process. The yardstick for handshakes of two
// proxies, which have sockets between them, an event loop around them, stricter verification, and a
// key in another process. For test/bench/speed; prints one line of JSON:
//   {"X25519": {"handshakes": N, "cpu_seconds": S}, "X25519MLKEM768": …}

#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/time/time.h"
#include "common/base/json_writer.h"
#include "openssl/err.h"
#include "openssl/ssl.h"

ABSL_FLAG(std::string, cert, "", "PEM file with the certificate chain of both ends");
ABSL_FLAG(std::string, key, "", "PEM file with its key");
ABSL_FLAG(std::string, roots, "", "PEM file with the root of both ends");
ABSL_FLAG(absl::Duration, time, absl::Seconds(1), "CPU time for each group");

namespace byrnie {
namespace {

absl::Duration CpuTime() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

bssl::UniquePtr<SSL_CTX> NewContext(uint16_t group) {
  bssl::UniquePtr<SSL_CTX> ctx(SSL_CTX_new(TLS_method()));
  if (!ctx || !SSL_CTX_set_min_proto_version(ctx.get(), TLS1_3_VERSION) ||
      !SSL_CTX_set1_group_ids(ctx.get(), &group, 1) ||
      !SSL_CTX_use_certificate_chain_file(ctx.get(), absl::GetFlag(FLAGS_cert).c_str()) ||
      !SSL_CTX_use_PrivateKey_file(ctx.get(), absl::GetFlag(FLAGS_key).c_str(), SSL_FILETYPE_PEM) ||
      !SSL_CTX_load_verify_locations(ctx.get(), absl::GetFlag(FLAGS_roots).c_str(), nullptr)) {
    return nullptr;
  }
  SSL_CTX_set_verify(ctx.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_options(ctx.get(), SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(ctx.get(), SSL_SESS_CACHE_OFF);
  return ctx;
}

// One step of an end; false when it has failed.
bool Step(SSL* ssl, bool* done) {
  const int result = SSL_do_handshake(ssl);
  *done = result == 1;
  return *done || SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ;
}

bool Handshake(SSL_CTX* client_ctx, SSL_CTX* server_ctx) {
  bssl::UniquePtr<SSL> client(SSL_new(client_ctx));
  bssl::UniquePtr<SSL> server(SSL_new(server_ctx));
  BIO* client_bio;
  BIO* server_bio;
  if (!client || !server || !BIO_new_bio_pair(&client_bio, 0, &server_bio, 0)) return false;
  SSL_set_bio(client.get(), client_bio, client_bio);
  SSL_set_bio(server.get(), server_bio, server_bio);
  SSL_set_connect_state(client.get());
  SSL_set_accept_state(server.get());
  bool client_done = false;
  bool server_done = false;
  while (!client_done || !server_done) {
    if (!Step(client.get(), &client_done) || !Step(server.get(), &server_done)) return false;
  }
  return SSL_session_reused(client.get()) == 0;
}

bool Measure(const char* name, uint16_t group, JsonWriter* json) {
  const bssl::UniquePtr<SSL_CTX> client = NewContext(group);
  const bssl::UniquePtr<SSL_CTX> server = NewContext(group);
  if (!client || !server || !Handshake(client.get(), server.get())) return false;
  const absl::Duration start = CpuTime();
  int64_t handshakes = 0;
  absl::Duration used;
  while ((used = CpuTime() - start) < absl::GetFlag(FLAGS_time)) {
    if (!Handshake(client.get(), server.get())) return false;
    ++handshakes;
  }
  json->Key(name).BeginObject();
  json->Field("handshakes", handshakes).Field("cpu_seconds", absl::ToDoubleSeconds(used));
  json->EndObject();
  return true;
}

int Main() {
  JsonWriter json;
  json.BeginObject();
  if (!Measure("X25519", SSL_GROUP_X25519, &json) ||
      !Measure("X25519MLKEM768", SSL_GROUP_X25519_MLKEM768, &json)) {
    ERR_print_errors_fp(stderr);
    std::fputs("error: a handshake failed\n", stderr);
    return 1;
  }
  json.EndObject();
  std::printf("%s\n", std::move(json).Finish().c_str());
  return 0;
}

}  // namespace
}  // namespace byrnie

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return byrnie::Main();
}
