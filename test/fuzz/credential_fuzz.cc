// What an issuer of tokens and whoever holds one may send: the bearer token of a call, judged by
// all attestors; what is in a token that the issuer signed; and its key set. Nothing is accepted
// that was not signed or made, and no token gives an identity that its issuer's are not.

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/testing/fake_clock.h"
#include "common/crypto/private_key.h"
#include "common/crypto/testing/rsa_signer.h"
#include "common/crypto/token/jwk_set.h"
#include "common/crypto/token/testing/jwt_maker.h"
#include "controlplane/attest/attestor_set.h"
#include "controlplane/attest/join_token.h"
#include "controlplane/attest/jwt_attestor.h"
#include "controlplane/store/testing/memory_store.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

// The first byte of an input.
enum Kind : char { kCredential = 0, kKeySet = 1, kSigned = 2 };

constexpr char kEsHeader[] = R"({"alg":"ES256","kid":"e","typ":"JWT"})";
constexpr char kRsHeader[] = R"({"alg":"RS256","kid":"r"})";
// At the clock's time, 1893456000.
constexpr char kClaims[] =
    R"({"iss":"https://i","sub":"repo:a/b","aud":["byrnie"],"iat":1893456000,"exp":1893456600})";

void Expect(bool condition) {
  if (!condition) std::abort();
}

// Attestors, and the credentials that they accept.
struct World {
  World() {
    auto trust = std::make_shared<JwtTrust>();
    trust->leeway = absl::Seconds(30);
    JwtTrust::Entry entry;
    entry.issuer.name = "https://i";
    entry.issuer.audiences = {"byrnie"};
    entry.issuer.max_life = absl::Hours(1);
    entry.issuer.single_use = true;
    entry.issuer.identities.push_back(
        *IdentityMapping::Create({{"sub", "repo:{o}/{r}"}}, "spiffe://td/ci/{o}/{r}", "td"));
    keys = JwkSetOf({JwkOf(*ec, R"("kid":"e",)"), JwkOf(rsa, R"("kid":"r","use":"sig",)")});
    entry.keys = std::make_shared<const JwkSet>(*JwkSet::Parse(keys));
    trust->issuers.push_back(std::move(entry));
    jwts.SetTrust(std::move(trust));
    auto created = tokens.Create(*SpiffeId::Parse("spiffe://td/a"), absl::Minutes(1));
    good = {std::string(created->token.view()), MakeJwt(*ec, kEsHeader, kClaims),
            MakeJwt(rsa, kRsHeader, kClaims)};
  }
  const std::shared_ptr<const PrivateKey> ec = *PrivateKey::Generate();
  const RsaSigner rsa{2048};
  FakeClock clock;
  MemoryStore store;
  MetricRegistry metrics;
  JoinTokens tokens{"td", &store, &clock, &metrics};
  JwtAttestor jwts{std::make_shared<const JwtTrust>(), &clock};
  const AttestorSet attestors{{&tokens, &jwts}, &metrics};
  std::string keys;
  std::vector<std::string> good;
};

World& TheWorld() {
  static World* const world = new World;
  return *world;
}

void UseCredential(absl::string_view credential) {
  World& world = TheWorld();
  const auto proven = world.attestors.Check(credential, {});
  bool made = false;
  for (const std::string& good : world.good) made = made || good == credential;
  // Each has one spelling, and is accepted as long as nobody redeems it.
  Expect(proven.ok() == made);
  if (proven.ok()) return;
  Expect(IsRefusedCredential(proven.status(), nullptr));
  Expect(proven.status().message().size() < 1024);
}

// `text`: a header and, from the next line on, claims, for the issuer to sign.
void UseSigned(absl::string_view text) {
  const size_t line = text.find('\n');
  if (line == absl::string_view::npos) return;
  World& world = TheWorld();
  const auto proven =
      world.attestors.Check(MakeJwt(*world.ec, text.substr(0, line), text.substr(line + 1)), {});
  if (!proven.ok()) {
    Expect(IsRefusedCredential(proven.status(), nullptr));
    return;
  }
  const absl::string_view id = proven->claim.id.text();
  Expect(absl::StartsWith(id, "spiffe://td/ci/") && std::count(id.begin(), id.end(), '/') == 5);
}

void UseKeySet(absl::string_view text) {
  const absl::StatusOr<JwkSet> set = JwkSet::Parse(text);
  if (!set.ok()) return;
  Expect(set->size() > 0 && set->size() + set->ignored() <= JwkSet::kMaxKeys);
  const Jwk* const key = set->Find("e");
  if (key != nullptr) Expect(!key->Verify("message", std::string(64, '\1')));
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  const World& world = TheWorld();
  std::vector<std::string> seeds;
  for (const std::string& good : world.good) seeds.push_back(std::string(1, kCredential) + good);
  for (const std::string& text :
       {std::string(".."), std::string("a.b.c"), std::string(2000, 'a'),
        MakeJwt("signature", R"({"alg":"none"})", kClaims),
        MakeJwt("signature", R"({"alg":"HS256","kid":"e"})", kClaims),
        MakeJwt(*world.ec, kEsHeader, R"({"iss":"https://i","iss":"https://j"})"),
        MakeJwt(*world.ec, kEsHeader, R"({"iss":"https://i","exp":1e400,"aud":{}})"),
        MakeJwt(*world.ec, kEsHeader,
                R"({"iss":"https://i","sub":"repo:../..","aud":"byrnie","exp":1893456600})"),
        MakeJwt(*world.ec, R"({"alg":"ES256","kid":"e","crit":["b64"],"b64":false})", kClaims)}) {
    seeds.push_back(std::string(1, kCredential) + text);
  }
  for (
      const std::string& claims :
      {std::string(kClaims), std::string(R"({"iss":"https://i","exp":1e400,"aud":{}})"),
       std::string(
           R"({"iss":"https://i","sub":"repo:../..","aud":"byrnie","exp":1893456600,"nbf":0.5})")}) {
    seeds.push_back(absl::StrCat(std::string(1, kSigned), kEsHeader, "\n", claims));
  }
  for (const std::string& text :
       {world.keys, std::string(R"({"keys":[]})"),
        std::string(R"({"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"OKP"}]})"),
        std::string(R"({"keys":[{"kty":"RSA","n":"AA","e":"AQAB","d":"AA"}]})")}) {
    seeds.push_back(std::string(1, kKeySet) + text);
  }
  return seeds;
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] == byrnie::kCredential) byrnie::UseCredential(text);
  if (data[0] == byrnie::kKeySet) byrnie::UseKeySet(text);
  if (data[0] == byrnie::kSigned) byrnie::UseSigned(text);
  return 0;
}
