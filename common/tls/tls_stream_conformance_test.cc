// TlsStream keeps the promises of every ByteStream, over a transport that keeps them too.
#include <memory>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_matchers.h"
#include "common/net/testing/byte_stream_conformance.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/tls/testing/local_signer.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/tls_context.h"
#include "common/tls/tls_stream.h"

namespace byrnie {
namespace {

std::shared_ptr<const TlsContext> MakeContext(TlsRole role, const TestCa& ca, LocalSigner* signer,
                                              absl::Time now) {
  const TestIdentity identity = ca.IssueSvid("/a");
  signer->AddKey(identity);
  absl::StatusOr<IdentitySnapshotPtr> snapshot =
      IdentitySnapshot::Create(1, identity.chain, ca.Bundles(), now);
  CHECK_OK(snapshot);
  absl::StatusOr<std::shared_ptr<const TlsContext>> context =
      TlsContext::Create(role, "test", *snapshot, signer);
  CHECK_OK(context);
  return *context;
}

ByteStreamPair MakeTls(ManualEventLoop* loop, const MemoryStreamPair::Quota& quota) {
  MemoryStreamPair transport(loop, quota, quota);
  auto signer = std::make_shared<LocalSigner>();
  const TestCa ca("td", loop->WallNow());
  int done = 0;
  const auto on_handshake = [&done](absl::Status status) {
    CHECK_OK(status);
    ++done;
  };
  ByteStreamPair pair;
  pair.a = TlsStream::Create(loop, transport.TakeA(),
                             MakeContext(TlsRole::kClient, ca, signer.get(), loop->WallNow()), {},
                             on_handshake);
  pair.b = TlsStream::Create(loop, transport.TakeB(),
                             MakeContext(TlsRole::kServer, ca, signer.get(), loop->WallNow()), {},
                             on_handshake);
  CHECK(loop->RunUntil([&done] { return done == 2; }));
  loop->RunUntilIdle();
  pair.environment = std::move(signer);
  return pair;
}

ByteStreamKind TlsKind(std::string name, const MemoryStreamPair::Quota& quota) {
  ByteStreamKind kind;
  kind.name = std::move(name);
  if (quota.block_between) kind.much = 1024 * 1024;
  kind.make = [quota](ManualEventLoop* loop) { return MakeTls(loop, quota); };
  return kind;
}

INSTANTIATE_TEST_SUITE_P(TlsStreams, ByteStreamConformanceTest,
                         ::testing::Values(TlsKind("Tls", {}),
                                           TlsKind("TlsInPieces", {17, 17, 64 * 1024, true})),
                         ByteStreamKindName());

}  // namespace
}  // namespace byrnie
