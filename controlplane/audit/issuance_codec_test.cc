#include "controlplane/audit/issuance_codec.h"

#include <string>

#include "byrnie/store/v1/issuance.pb.h"
#include "controlplane/audit/testing/some_issuance.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

IssuanceRecord Record() { return SomeIssuance(absl::FromUnixSeconds(1893456000), "0a1b2c3d4e5f"); }

// Most of these are a message all the same, of somebody else or until another day.
TEST(IssuanceCodecTest, OneBitThatIsAnotherIsDamage) {
  const std::string key = IssuanceKey(Record()), value = EncodeIssuance(Record());
  ASSERT_EQ(DecodeIssuance(key, value).identity, Record().identity);
  for (size_t bit = 0; bit < 8 * value.size(); ++bit) {
    std::string damaged = value;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    const IssuanceRecord read = DecodeIssuance(key, damaged);
    EXPECT_EQ(read.proof, kUnreadableProof) << bit;
    EXPECT_EQ(read.serial, Record().serial);
    EXPECT_EQ(read.identity, "");
  }
}

TEST(IssuanceCodecTest, BytesThatAreZeroAreDamage) {
  const std::string key = IssuanceKey(Record()), value = EncodeIssuance(Record());
  for (size_t from = 0; from < value.size(); ++from) {
    std::string damaged = value;
    damaged.replace(from, std::string::npos, value.size() - from, '\0');
    EXPECT_EQ(DecodeIssuance(key, damaged).proof, kUnreadableProof) << from;
  }
}

TEST(IssuanceCodecTest, AnEntryOfBeforeThereWereChecksumsIsRead) {
  byrnie::store::v1::Issuance entry;
  ASSERT_TRUE(entry.ParseFromString(EncodeIssuance(Record())));
  entry.clear_checksum();
  const std::string key = IssuanceKey(Record());
  EXPECT_EQ(DecodeIssuance(key, entry.SerializeAsString()).replaces, Record().replaces);
  // With a checksum it has to be right.
  entry.set_checksum(1);
  EXPECT_EQ(DecodeIssuance(key, entry.SerializeAsString()).proof, kUnreadableProof);
}

TEST(IssuanceCodecTest, OfADamagedEntryThereIsWhatItReplacesWhereItsBytesHaveThat) {
  const std::string key = IssuanceKey(Record()), value = EncodeIssuance(Record());
  EXPECT_EQ(DecodeIssuance(key, value + "\xff").replaces, Record().replaces);
  EXPECT_EQ(DecodeIssuance(key, value.substr(0, 8)).replaces, "");
  IssuanceRecord odd = Record();
  odd.replaces = "no serial";
  EXPECT_EQ(DecodeIssuance(key, EncodeIssuance(odd) + "\xff").replaces, "");
}

}  // namespace
}  // namespace byrnie
