// VerifyJwtSvid: whatever it accepts says what it must, and nothing that was not signed is
// accepted.

#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/crypto/certificate_builder.h"
#include "common/identity/jwt_svid.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

constexpr char kId[] = "spiffe://td/a";

// Signing keys and the bundle that trusts one of them.
struct World {
  World() {
    CertificateSpec spec;
    spec.common_name = "root";
    spec.not_before = now - absl::Hours(1);
    spec.not_after = now + absl::Hours(1);
    spec.is_ca = true;
    TrustBundle bundle;
    bundle.roots = {*BuildCertificate(spec, key->PublicKeyDer(), nullptr, *key)};
    bundle.jwt_keys = {{"k", *PublicKey::FromDer(key->PublicKeyDer()), now + absl::Hours(1)}};
    bundles = *TrustBundleSet::Create({{"td", bundle}});
    token = *SignJwtSvid(*SpiffeId::Parse(kId), {"db"}, now, now + absl::Minutes(5), "k", *key);
  }
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  const std::shared_ptr<const PrivateKey> key = *PrivateKey::Generate();
  TrustBundleSet bundles;
  std::string token;
};

const World& TheWorld() {
  static const World* const world = new World;
  return *world;
}

std::string Unsigned(absl::string_view header, absl::string_view claims) {
  return absl::StrCat(absl::WebSafeBase64Escape(header), ".", absl::WebSafeBase64Escape(claims),
                      ".", absl::WebSafeBase64Escape(std::string(64, 1)));
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {TheWorld().token,
          "..",
          "a.b.c",
          Unsigned(R"({"alg":"ES256","kid":"k","typ":"JWT"})",
                   R"({"sub":"spiffe://td/a","aud":"db","exp":1800000100})"),
          Unsigned(R"({"alg":"none","kid":"k"})", "{}"),
          Unsigned(R"({"alg":"ES256","alg":"ES256","kid":"k"})", "[[[[[["),
          Unsigned(R"({"alg":"ES256","kid":"k"})",
                   R"({"sub":"spiffe://td/a","aud":["db"],"exp":1e400,"nbf":-0})"),
          TheWorld().token + TheWorld().token};
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const byrnie::World& world = byrnie::TheWorld();
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<byrnie::JwtSvid> svid =
      byrnie::VerifyJwtSvid(text, "db", world.bundles, world.now);
  // Only one token was ever signed, and it has one spelling.
  if (svid.ok() && (text != world.token || svid->id.text() != byrnie::kId)) std::abort();
  return 0;
}
