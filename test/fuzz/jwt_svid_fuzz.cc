// VerifyJwtSvid: whatever it accepts says what it must, and nothing that was not signed is
// accepted.

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/base/check.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/private_key.h"
#include "common/crypto/token/testing/jwt_maker.h"
#include "common/identity/jwt_svid.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

constexpr char kId[] = "spiffe://td/a";
constexpr char kHeader[] = R"({"alg":"ES256","kid":"k","typ":"JWT"})";

// A signing key, the bundle that trusts it, and tokens.
struct World {
  World() {
    CertificateSpec spec;
    spec.common_name = "root";
    spec.not_before = now - absl::Hours(1);
    spec.not_after = now + absl::Hours(1);
    spec.is_ca = true;
    TrustBundle bundle;
    bundle.roots = {*BuildCertificate(spec, key->PublicKeyDer(), nullptr, *key)};
    bundle.jwt_keys = {{"k", *PublicKey::FromDer(key->PublicKeyDer()), now + absl::Hours(1)},
                       {"old", *PublicKey::FromDer(key->PublicKeyDer()), now - absl::Hours(1)}};
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

bool IsPlain(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), absl::ascii_isprint);
}

// By the right key, and not valid for another reason.
std::vector<std::string> BadTokens() {
  std::vector<std::string> tokens;
  for (const char* header :
       {R"({"alg":"ES256","kid":"k","jwk":{}})", R"({"alg":"ES256","kid":"k","typ":"at+jwt"})",
        R"({"alg":"ES256"})", R"({"alg":"ES256","kid":"other"})",
        R"({"alg":"ES256","kid":"old"})"}) {
    tokens.push_back(
        MakeJwt(*TheWorld().key, header, R"({"sub":"spiffe://td/a","aud":"db","exp":1800000100})"));
  }
  for (const char* claims :
       {R"({"aud":"db","exp":1800000100})", R"({"sub":"a","aud":"db","exp":1800000100})",
        R"({"sub":"spiffe://other/a","aud":"db","exp":1800000100})",
        R"({"sub":"spiffe://td/a","aud":"db"})",
        R"({"sub":"spiffe://td/a","aud":"db","exp":1799999999})",
        R"({"sub":"spiffe://td/a","aud":"db","exp":"soon"})",
        R"({"sub":"spiffe://td/a","aud":"db","exp":1800000100,"nbf":1800000001})",
        R"({"sub":"spiffe://td/a","aud":"db","exp":1800000100,"nbf":"soon"})",
        R"({"sub":"spiffe://td/a","aud":["other"],"exp":1800000100})",
        R"({"sub":"spiffe://td/a","aud":{},"exp":1800000100})"}) {
    tokens.push_back(MakeJwt(*TheWorld().key, kHeader, claims));
  }
  return tokens;
}

// The words of a text as the audiences that somebody asks a token for: where it is given, it is
// good for each of them, and for no other.
void AskFor(absl::string_view text) {
  const World& world = TheWorld();
  const std::vector<std::string> audiences = absl::StrSplit(text, ' ');
  const absl::StatusOr<std::string> token = SignJwtSvid(
      *SpiffeId::Parse(kId), audiences, world.now, world.now + absl::Minutes(5), "k", *world.key);
  if (token.ok() != CheckJwtAudiences(audiences).ok()) std::abort();
  // What comes by gRPC is UTF-8; as JSON it may be too long for a token.
  if (!token.ok() || token->size() > kMaxJwtSvidSize || !IsPlain(text)) return;
  const auto good_for = [&](const std::string& audience) {
    return VerifyJwtSvid(*token, audience, world.bundles, world.now).ok();
  };
  if (!good_for(audiences.front()) || !good_for(audiences.back()) || good_for("another one")) {
    std::abort();
  }
}

std::string Unsigned(absl::string_view header, absl::string_view claims) {
  return absl::StrCat(absl::WebSafeBase64Escape(header), ".", absl::WebSafeBase64Escape(claims),
                      ".", absl::WebSafeBase64Escape(std::string(64, 1)));
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds = {
      TheWorld().token,
      "..",
      "a.b.c",
      Unsigned(kHeader, R"({"sub":"spiffe://td/a","aud":"db","exp":1800000100})"),
      Unsigned(R"({"alg":"none","kid":"k"})", "{}"),
      Unsigned(R"({"alg":"ES256","alg":"ES256","kid":"k"})", "[[[[[["),
      Unsigned(R"({"alg":"ES256","kid":"k"})",
               R"({"sub":"spiffe://td/a","aud":["db"],"exp":1e400,"nbf":-0})"),
      TheWorld().token + TheWorld().token,
      "",
      "one two",
      std::string(kMaxJwtAudienceLength + 1, 'a'),
      std::string(kMaxJwtAudiences, ' ')};
  for (const std::string& token : BadTokens()) seeds.push_back(token);
  return seeds;
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const byrnie::World& world = byrnie::TheWorld();
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<byrnie::JwtSvid> svid =
      byrnie::VerifyJwtSvid(text, "db", world.bundles, world.now);
  // Only one good token was ever signed, and it has one spelling.
  if (svid.ok() && (text != world.token || svid->id.text() != byrnie::kId)) std::abort();
  // Signing takes its time: what may be a token is none of this.
  if (!absl::StrContains(text, '.')) byrnie::AskFor(text);
  return 0;
}
