#ifndef BYRNIE_PROXY_TESTING_REDIRECTED_PAIR_H_
#define BYRNIE_PROXY_TESTING_REDIRECTED_PAIR_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/net/socket_address.h"
#include "common/net/tcp_listener.h"
#include "common/net/tcp_stream.h"
#include "common/tls/testing/local_signer.h"
#include "common/tls/tls_context.h"
#include "common/tls/tls_stream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/access_record.h"
#include "proxy/redirected.h"
#include "proxy/testing/data_path.h"

namespace byrnie {

inline void WriteText(ByteStream* stream, absl::string_view text) {
  stream->Write(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

inline std::string ReadText(ByteStream* stream) {
  std::string text;
  uint8_t buffer[16384];
  while (true) {
    const IoResult result = stream->Read(absl::MakeSpan(buffer));
    if (result.status == IoStatus::kEof || result.status == IoStatus::kError) return text;
    text.append(reinterpret_cast<const char*>(buffer), result.bytes);
    if (result.bytes == 0) return text;
  }
}

// A client and an application on real sockets, and the proxy between them.
class RedirectedPairTest : public DataPathTest {
 protected:
  RedirectedPairTest()
      : own_(ca_.IssueSvid("/ns/demo/sa/server")), peer_(ca_.IssueSvid("/ns/demo/sa/client")) {
    signer_.AddKey(own_);
    signer_.AddKey(peer_);
    config_.inbound.strict = false;
    app_listener_ = *TcpListener::Create(
        &loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
        [this](std::unique_ptr<TcpStream> stream) { apps_.push_back(std::move(stream)); });
    destination_ = app_listener_->address();
    proxy_listener_ = *TcpListener::Create(&loop_, *SocketAddress::Parse("127.0.0.1:0"), {},
                                           [this](std::unique_ptr<TcpStream> stream) {
                                             registry_.Add(std::make_unique<RedirectedConnection>(
                                                 &context_, std::move(stream), destination_));
                                           });
    SetPolicies({});
  }
  ~RedirectedPairTest() override { registry_.AbortAll(access_reason::kDrained, ""); }

  void SetPolicies(const link::v1::PolicyUpdate& policies) {
    auto mesh = std::make_shared<MeshSnapshot>(*context_.mesh);
    if (mesh->identity == nullptr) {
      auto identity = std::make_shared<IdentityInUse>();
      identity->identity = *IdentitySnapshot::Create(1, own_.chain, ca_.Bundles(), loop_.WallNow());
      identity->direct_server =
          *TlsContext::Create(TlsRole::kServer, kDirectAlpn, identity->identity, &signer_);
      mesh->identity = std::move(identity);
    }
    mesh->policies = *PolicySet::Create(1, policies.policies());
    context_.mesh = std::move(mesh);
  }
  static istio::security::Match* AddPolicy(link::v1::PolicyUpdate* policies,
                                           istio::security::Action action) {
    istio::security::Authorization* policy = policies->add_policies();
    policy->set_name(absl::StrCat("p", policies->policies_size()));
    policy->set_namespace_("demo");
    policy->set_scope(istio::security::NAMESPACE);
    policy->set_action(action);
    return policy->add_rules()->add_clauses()->add_matches();
  }
  uint16_t app_port() const { return app_listener_->address().port(); }

  std::unique_ptr<TcpStream> Connect() {
    std::unique_ptr<TcpStream> client;
    const auto attempt =
        TcpStream::Connect(&loop_, proxy_listener_->address(), {},
                           [&client](absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
                             client = *std::move(stream);
                           });
    const size_t before = registry_.size();
    EXPECT_TRUE(loop_.RunUntil(
        [&] { return client != nullptr && (registry_.size() > before || !PeekLog().empty()); }));
    loop_.RunUntilIdle();
    return client;
  }
  // A mesh peer's side of direct mTLS, over a plain connection.
  std::unique_ptr<TlsStream> Shake(std::unique_ptr<TcpStream> client, const TestCa& ca,
                                   const TestIdentity& identity) {
    auto snapshot = *IdentitySnapshot::Create(1, identity.chain, ca.Bundles(), loop_.WallNow());
    auto context = *TlsContext::Create(TlsRole::kClient, kDirectAlpn, snapshot, &signer_);
    TlsStream::Options options;
    options.allowed_peers = {*SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/server")};
    done_ = false;
    auto tls =
        TlsStream::Create(&loop_, std::move(client), context, options, [this](absl::Status status) {
          done_ = true;
          handshake_ = std::move(status);
        });
    EXPECT_TRUE(loop_.RunUntil([this] { return done_; }));
    return tls;
  }
  std::string Await(ByteStream* stream, size_t size) {
    std::string text;
    EXPECT_TRUE(loop_.RunUntil([&] {
      text += ReadText(stream);
      return text.size() >= size;
    })) << text;
    return text;
  }
  bool AwaitApp(size_t count = 1) {
    return loop_.RunUntil([this, count] { return apps_.size() >= count; });
  }
  void AwaitEnd() {
    ASSERT_TRUE(loop_.RunUntil([this] { return registry_.size() == 0; }));
    loop_.RunUntilIdle();
  }
  const std::string& PeekLog() { return log_ += TakeLog(); }
  void ExpectRefused(absl::string_view reason, absl::string_view detail = "") {
    AwaitEnd();
    EXPECT_THAT(PeekLog(),
                ::testing::AllOf(::testing::HasSubstr(absl::StrCat("\"reason\":\"", reason, "\"")),
                                 ::testing::HasSubstr(detail)));
    EXPECT_THAT(apps_, ::testing::SizeIs(0)) << "the application was dialled";
  }

  const TestIdentity own_;
  const TestIdentity peer_;
  LocalSigner signer_;
  std::unique_ptr<TcpListener> app_listener_;
  SocketAddress destination_;  // Of connections made from now on; the application's.
  std::unique_ptr<TcpListener> proxy_listener_;
  std::vector<std::unique_ptr<TcpStream>> apps_;
  bool done_ = false;
  absl::Status handshake_ = absl::UnknownError("not done");
  std::string log_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_TESTING_REDIRECTED_PAIR_H_
