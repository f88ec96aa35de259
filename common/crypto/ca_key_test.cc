#include "common/crypto/ca_key.h"

#include <string>

#include "common/base/status_matchers.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/private_key.h"
#include "common/crypto/testing/other_keys.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/bio.h"
#include "openssl/bytestring.h"
#include "openssl/ec_key.h"
#include "openssl/evp.h"
#include "openssl/mem.h"
#include "openssl/nid.h"
#include "openssl/pem.h"
#include "openssl/rsa.h"
#include "openssl/x509.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

SecretBytes TextOf(BIO* bio) {
  const uint8_t* data;
  size_t size;
  EXPECT_TRUE(BIO_mem_contents(bio, &data, &size));
  return SecretBytes(absl::MakeConstSpan(data, size));
}

SecretBytes Pkcs8(const EVP_PKEY& key, const char* password = nullptr) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  EXPECT_TRUE(PEM_write_bio_PKCS8PrivateKey(
      bio.get(), &key, password == nullptr ? nullptr : EVP_aes_256_cbc(), password,
      password == nullptr ? 0 : 3, nullptr, nullptr));
  return TextOf(bio.get());
}

// "RSA PRIVATE KEY" or "EC PRIVATE KEY".
SecretBytes Traditional(const EVP_PKEY& key) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  const bool written = EVP_PKEY_id(&key) == EVP_PKEY_RSA
                           ? PEM_write_bio_RSAPrivateKey(bio.get(), EVP_PKEY_get0_RSA(&key),
                                                         nullptr, nullptr, 0, nullptr, nullptr)
                           : PEM_write_bio_ECPrivateKey(bio.get(), EVP_PKEY_get0_EC_KEY(&key),
                                                        nullptr, nullptr, 0, nullptr, nullptr);
  EXPECT_TRUE(written);
  return TextOf(bio.get());
}

std::string PublicDer(const EVP_PKEY& key) {
  bssl::ScopedCBB cbb;
  EXPECT_TRUE(CBB_init(cbb.get(), 256) && EVP_marshal_public_key(cbb.get(), &key));
  return std::string(reinterpret_cast<const char*>(CBB_data(cbb.get())), CBB_len(cbb.get()));
}

struct Kind {
  const char* name;
  bssl::UniquePtr<EVP_PKEY> (*make)();
  int signature;  // What its certificates are signed with.
};

class CaKeyTest : public ::testing::TestWithParam<Kind> {
 protected:
  const bssl::UniquePtr<EVP_PKEY> key_ = GetParam().make();
};

TEST_P(CaKeyTest, SignsCertificatesInEitherForm) {
  for (const bool traditional : {false, true}) {
    const SecretBytes pem = traditional ? Traditional(*key_) : Pkcs8(*key_);
    ASSERT_OK_AND_ASSIGN(auto read, ParseCaKey(pem));
    EXPECT_EQ(EVP_PKEY_cmp(read->native(), key_.get()), 1);
    CertificateSpec spec;
    spec.common_name = "a plugged CA";
    spec.is_ca = true;
    spec.not_before = absl::FromUnixSeconds(1'700'000'000);
    spec.not_after = spec.not_before + absl::Hours(1);
    ASSERT_OK_AND_ASSIGN(auto root, BuildCertificate(spec, PublicDer(*key_), nullptr, *read));
    ASSERT_OK_AND_ASSIGN(auto leaf_key, PrivateKey::Generate());
    spec.common_name = "a leaf";
    spec.is_ca = false;
    ASSERT_OK_AND_ASSIGN(auto leaf,
                         BuildCertificate(spec, leaf_key->PublicKeyDer(), root.get(), *read));
    EXPECT_EQ(X509_verify(root->native(), key_.get()), 1);
    EXPECT_EQ(X509_verify(leaf->native(), key_.get()), 1);
    EXPECT_EQ(X509_get_signature_nid(leaf->native()), GetParam().signature);
  }
}

TEST_P(CaKeyTest, DoesNotGiveTheLibraryTheKey) {
  ASSERT_OK_AND_ASSIGN(auto read, ParseCaKey(Pkcs8(*key_)));
  bssl::ScopedCBB cbb;
  ASSERT_TRUE(CBB_init(cbb.get(), 64));
  EXPECT_FALSE(EVP_marshal_private_key(cbb.get(), read->native()));
}

INSTANTIATE_TEST_SUITE_P(
    OfEachKind, CaKeyTest,
    ::testing::Values(Kind{"P256", [] { return NewEcKey(NID_X9_62_prime256v1); },
                           NID_ecdsa_with_SHA256},
                      Kind{"P384", [] { return NewEcKey(NID_secp384r1); }, NID_ecdsa_with_SHA384},
                      Kind{"Rsa2048", [] { return NewRsaKey(2048); }, NID_sha256WithRSAEncryption},
                      Kind{"Rsa4096", [] { return NewRsaKey(4096); }, NID_sha256WithRSAEncryption}),
    [](const ::testing::TestParamInfo<Kind>& info) { return std::string(info.param.name); });

std::string WhyRefused(const SecretBytes& pem) {
  return std::string(ParseCaKey(pem).status().message());
}
std::string WhyRefused(std::string text) { return WhyRefused(SecretBytes::TakeFrom(&text)); }

TEST(CaKeyRefusalTest, SaysWhichKindsAreTaken) {
  constexpr char kTaken[] = "P-256 or P-384 or RSA of 2048 to 4096 bits";
  const bssl::UniquePtr<EVP_PKEY> ec = NewEcKey(NID_secp521r1), rsa = NewRsaKey(1024);
  for (const EVP_PKEY* key : {ec.get(), rsa.get()}) {
    EXPECT_THAT(WhyRefused(Pkcs8(*key)), HasSubstr(kTaken));
    EXPECT_THAT(WhyRefused(Traditional(*key)), HasSubstr(kTaken));
  }
}

TEST(CaKeyRefusalTest, QuotesNothing) {
  const SecretBytes good = Traditional(*NewRsaKey(2048));
  std::string cut(good.view());
  const std::string line = cut.substr(cut.find('\n') + 1, 20);
  cut.erase(cut.find("-----END") - 30, 20);
  EXPECT_THAT(WhyRefused(cut), Not(HasSubstr(line)));
  EXPECT_THAT(WhyRefused("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"),
              HasSubstr("not exactly one private key"));
  EXPECT_THAT(WhyRefused(Pkcs8(*NewEcKey(NID_secp384r1), "abc")), HasSubstr("an encrypted key"));
  std::string old(Traditional(*NewRsaKey(2048)).view());
  old.insert(old.find('\n') + 1, "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n");
  EXPECT_THAT(WhyRefused(old), HasSubstr("an encrypted key"));
  EXPECT_THAT(WhyRefused("secret"), Not(HasSubstr("secret")));
  EXPECT_THAT(WhyRefused(""), HasSubstr("no private key"));
}

}  // namespace
}  // namespace byrnie
