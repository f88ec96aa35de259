#include "controlplane/store/store_location.h"

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

absl::Status Parse(absl::string_view store, const std::string& ca = "",
                   const std::string& cert = "", const std::string& key = "") {
  return ParseStoreLocation(store, ca, cert, key).status();
}

TEST(StoreLocationTest, ReadsAFileAndAnEtcd) {
  EXPECT_EQ(ParseStoreLocation("sqlite:/a/b", "", "", "")->sqlite_path, "/a/b");
  ASSERT_OK_AND_ASSIGN(const StoreLocation etcd,
                       ParseStoreLocation("etcd:https://a,https://b/mesh", "ca", "cert", "key"));
  EXPECT_EQ(etcd.sqlite_path, "");
  EXPECT_EQ(etcd.etcd->endpoints.size(), 2u);
  EXPECT_EQ(etcd.etcd->prefix, "mesh/");
  EXPECT_THAT(Parse("etcd:http://127.0.0.1"), IsOk());
  EXPECT_THAT(Parse("etcd:https://a", "ca"), IsOk());
}

TEST(StoreLocationTest, SaysWhichFlagIsWrong) {
  const auto invalid = [](const char* flag, const char* what) {
    return StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr(flag), HasSubstr(what)));
  };
  EXPECT_THAT(Parse(""), invalid("--store: ", "missing"));
  EXPECT_THAT(Parse("/a/b"), invalid("--store: ", "neither"));
  EXPECT_THAT(Parse("sqlite:"), invalid("--store: ", "neither"));
  EXPECT_THAT(Parse("etcd:"), invalid("--store: ", "neither"));
  EXPECT_THAT(Parse("etcd:127.0.0.1:2379"), invalid("--store: ", "http"));
  EXPECT_THAT(Parse("etcd:https://a"), invalid("--etcd_ca: ", "missing"));
  EXPECT_THAT(Parse("etcd:https://a", "ca", "cert"), invalid("--etcd_key: ", "missing"));
  EXPECT_THAT(Parse("etcd:https://a", "ca", "", "key"), invalid("--etcd_cert: ", "missing"));
  EXPECT_THAT(Parse("etcd:http://a", "ca"), invalid("--etcd_ca: ", "alone"));
  EXPECT_THAT(Parse("sqlite:/a", "", "cert", "key"), invalid("--etcd_cert: ", "alone"));
}

}  // namespace
}  // namespace byrnie
