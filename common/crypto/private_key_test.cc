#include "common/crypto/private_key.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <type_traits>

#include "absl/strings/match.h"
#include "common/base/secret_bytes.h"
#include "common/base/secret_memory.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/bio.h"
#include "openssl/bytestring.h"
#include "openssl/ec_key.h"
#include "openssl/ecdsa.h"
#include "openssl/evp.h"
#include "openssl/mem.h"
#include "openssl/nid.h"
#include "openssl/pem.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

SecretBytes EncodePkcs8OnCurve(int nid) {
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(nid));
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  EXPECT_TRUE(EC_KEY_generate_key(ec.get()) && EVP_PKEY_set1_EC_KEY(key.get(), ec.get()));
  bssl::ScopedCBB cbb;
  EXPECT_TRUE(CBB_init(cbb.get(), 64) && EVP_marshal_private_key(cbb.get(), key.get()));
  return SecretBytes(absl::MakeConstSpan(CBB_data(cbb.get()), CBB_len(cbb.get())));
}

TEST(PrivateKeyTest, SurvivesPkcs8AndBack) {
  ASSERT_OK_AND_ASSIGN(auto key, PrivateKey::Generate());
  ASSERT_OK_AND_ASSIGN(auto again, PrivateKey::FromPkcs8(key->ToPkcs8()));
  EXPECT_EQ(again->PublicKeyDer(), key->PublicKeyDer());
}

TEST(PrivateKeyTest, MakesADifferentKeyEachTime) {
  ASSERT_OK_AND_ASSIGN(auto one, PrivateKey::Generate());
  ASSERT_OK_AND_ASSIGN(auto two, PrivateKey::Generate());
  EXPECT_NE(one->PublicKeyDer(), two->PublicKeyDer());
}

TEST(PrivateKeyTest, SignsWhatItsPublicKeyVerifies) {
  ASSERT_OK_AND_ASSIGN(auto key, PrivateKey::Generate());
  const std::string message = "a message";
  const auto* bytes = reinterpret_cast<const uint8_t*>(message.data());
  ASSERT_OK_AND_ASSIGN(std::string signature,
                       key->SignEcdsaSha256(absl::MakeConstSpan(bytes, message.size())));
  bssl::ScopedEVP_MD_CTX context;
  ASSERT_TRUE(EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key->native()));
  EXPECT_TRUE(EVP_DigestVerify(context.get(), reinterpret_cast<const uint8_t*>(signature.data()),
                               signature.size(), bytes, message.size()));
}

TEST(PrivateKeyTest, SignsForTheLibraryWithoutGivingItTheKey) {
  ASSERT_OK_AND_ASSIGN(auto key, PrivateKey::Generate());
  EXPECT_EQ(EC_KEY_get0_private_key(EVP_PKEY_get0_EC_KEY(key->native())), nullptr);
  bssl::ScopedCBB cbb;
  ASSERT_TRUE(CBB_init(cbb.get(), 64));
  EXPECT_FALSE(EVP_marshal_private_key(cbb.get(), key->native()));
  const uint8_t message[] = {1, 2, 3};
  uint8_t signature[128];
  size_t size = sizeof(signature);
  bssl::ScopedEVP_MD_CTX sign, verify;
  ASSERT_TRUE(EVP_DigestSignInit(sign.get(), nullptr, EVP_sha256(), nullptr, key->native()));
  ASSERT_TRUE(EVP_DigestSign(sign.get(), signature, &size, message, sizeof(message)));
  ASSERT_TRUE(EVP_DigestVerifyInit(verify.get(), nullptr, EVP_sha256(), nullptr, key->native()));
  EXPECT_TRUE(EVP_DigestVerify(verify.get(), signature, size, message, sizeof(message)));
}

TEST(PrivateKeyTest, SignsADigest) {
  ASSERT_OK_AND_ASSIGN(auto key, PrivateKey::Generate());
  const uint8_t digest[32] = {1};
  ASSERT_OK_AND_ASSIGN(std::string signature, key->SignDigest(digest));
  EXPECT_TRUE(ECDSA_verify(0, digest, sizeof(digest),
                           reinterpret_cast<const uint8_t*>(signature.data()), signature.size(),
                           EVP_PKEY_get0_EC_KEY(key->native())));
  EXPECT_THAT(key->SignDigest(absl::MakeConstSpan(digest, 31)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

// How often `wanted` lies in the memory of this process outside the arena for secrets.
int Occurrences(absl::string_view wanted) {
  std::ifstream maps("/proc/self/maps");
  const int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  int found = 0;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0, end = 0;
    char permissions[5] = {};
    if (sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, permissions) != 3 ||
        permissions[0] != 'r' || permissions[1] != 'w' ||
        IsInSecretArena(reinterpret_cast<const uint8_t*>(begin))) {
      continue;
    }
    // The copies read are not counted: each is freed, unsearched, before the next look.
    std::string content(end - begin, '\0');
    if (pread(memory, &content[0], content.size(), static_cast<off_t>(begin)) > 0) {
      for (size_t at = 0;
           (at = content.find(wanted.data(), at, wanted.size())) != std::string::npos; ++at) {
        ++found;
      }
    }
    WipeString(&content);
  }
  close(memory);
  return found;
}

TEST(PrivateKeyTest, LeavesNoCopyOfTheScalarInOrdinaryMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer keeps what was freed";
#endif
  if (SecretMemoryInUse() == SecretMemoryKind::kOrdinary) GTEST_SKIP() << "no memory can be locked";
  ASSERT_OK_AND_ASSIGN(auto key, PrivateKey::Generate());
  // The scalar is bytes 36 to 67 of the encoding (RFC 5958 with RFC 5915).
  SecretBytes pkcs8 = key->ToPkcs8();
  const uint8_t before[] = {0x02, 0x01, 0x01, 0x04, 0x20};
  const auto at = std::search(pkcs8.span().begin(), pkcs8.span().end(), before, before + 5) -
                  pkcs8.span().begin() + 5;
  const SecretBytes scalar(pkcs8.span().subspan(at, 32));
  SecretBytes limbs(32);
  std::reverse_copy(scalar.span().begin(), scalar.span().end(), limbs.mutable_span().begin());
  const uint8_t message[] = {1, 2, 3};
  for (int i = 0; i < 100; ++i) ASSERT_THAT(key->SignEcdsaSha256(message).status(), IsOk());
  ASSERT_OK_AND_ASSIGN(auto again, PrivateKey::FromPkcs8(pkcs8));
  ASSERT_FALSE(again->ToPem().empty());
  EXPECT_EQ(Occurrences(scalar.view()), 0);
  EXPECT_EQ(Occurrences(limbs.view()), 0);
  // The search finds what is there.
  const std::string copy(scalar.view());
  EXPECT_GE(Occurrences(scalar.view()), 1);
}

TEST(PrivateKeyTest, WritesPemThatAnotherReaderTakes) {
  ASSERT_OK_AND_ASSIGN(auto key, PrivateKey::Generate());
  const SecretBytes pem = key->ToPem();
  EXPECT_TRUE(absl::StartsWith(pem.view(), "-----BEGIN PRIVATE KEY-----\n"));
  EXPECT_TRUE(absl::EndsWith(pem.view(), "\n-----END PRIVATE KEY-----\n"));
  bssl::UniquePtr<BIO> bio(
      BIO_new_mem_buf(pem.span().data(), static_cast<ossl_ssize_t>(pem.size())));
  bssl::UniquePtr<EVP_PKEY> read(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  ASSERT_TRUE(read);
  EXPECT_EQ(EVP_PKEY_cmp(read.get(), key->native()), 1);
}

TEST(PrivateKeyTest, RefusesOtherCurves) {
  EXPECT_THAT(PrivateKey::FromPkcs8(EncodePkcs8OnCurve(NID_secp384r1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a P-256 key")));
}

TEST(PrivateKeyTest, RefusesGarbageEmptyTruncatedAndTrailingBytes) {
  ASSERT_OK_AND_ASSIGN(auto key, PrivateKey::Generate());
  const SecretBytes good = key->ToPkcs8();
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_THAT(PrivateKey::FromPkcs8(SecretBytes(good.span().subspan(0, size))),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << size;
  }
  std::string longer(good.view());
  longer.push_back('\0');
  EXPECT_THAT(PrivateKey::FromPkcs8(SecretBytes::TakeFrom(&longer)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(PrivateKeyTest, CannotBeCopied) {
  EXPECT_FALSE(std::is_copy_constructible<PrivateKey>::value);
  EXPECT_FALSE(std::is_copy_assignable<PrivateKey>::value);
}

SecretBytes Text(std::string text) { return SecretBytes::TakeFrom(&text); }

TEST(PrivateKeyTest, ReadsThePemItWrites) {
  auto key = PrivateKey::Generate();
  auto read = PrivateKey::FromPem((*key)->ToPem());
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ((*read)->PublicKeyDer(), (*key)->PublicKeyDer());
}

// As "openssl ecparam -name prime256v1 -genkey" writes it.
TEST(PrivateKeyTest, ReadsWhatOpensslEcparamMakes) {
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  ASSERT_TRUE(EC_KEY_generate_key(ec.get()));
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  ASSERT_TRUE(
      PEM_write_bio_ECPrivateKey(bio.get(), ec.get(), nullptr, nullptr, 0, nullptr, nullptr));
  const uint8_t* bytes = nullptr;
  size_t size = 0;
  ASSERT_TRUE(BIO_mem_contents(bio.get(), &bytes, &size));
  const std::string block(reinterpret_cast<const char*>(bytes), size);
  const std::string parameters =
      "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
  bssl::UniquePtr<EVP_PKEY> pkey(EVP_PKEY_new());
  ASSERT_TRUE(EVP_PKEY_set1_EC_KEY(pkey.get(), ec.get()));
  for (const std::string& pem : {block, parameters + block}) {
    auto key = PrivateKey::FromPem(Text(pem));
    ASSERT_THAT(key, IsOk());
    EXPECT_EQ(EVP_PKEY_cmp((*key)->native(), pkey.get()), 1);
  }
}

TEST(PrivateKeyTest, RefusesPemThatIsNoP256KeyAndQuotesNothing) {
  auto generated = PrivateKey::Generate();
  const SecretBytes pem = (*generated)->ToPem();
  const std::string good(pem.view());
  for (const std::string& text :
       {std::string(), std::string("hunter2"), good + good, "x" + good, good.substr(0, 60),
        std::string("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"),
        std::string("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"
                    "-----END ENCRYPTED PRIVATE KEY-----\n"),
        std::string("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"),
        std::string("-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n"),
        std::string("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        std::string("-----BEGIN hunter2-----\nAAAA\n-----END hunter2-----\n")}) {
    auto key = PrivateKey::FromPem(Text(text));
    EXPECT_THAT(key, StatusIs(absl::StatusCode::kInvalidArgument)) << text;
    EXPECT_THAT(key.status().message(), ::testing::Not(HasSubstr("hunter2")));
  }
  EXPECT_THAT(PrivateKey::FromPem(
                  Text("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("P-256")));
}

}  // namespace
}  // namespace byrnie
