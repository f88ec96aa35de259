#include "common/grpc/library_log.h"

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

// A Value whose text is one byte that begins no UTF-8 character.
constexpr char kNotUtf8[] = "\x1a\x01\xff";

class LibraryLogTest : public ::testing::Test {
 protected:
  ~LibraryLogTest() override { RouteGrpcLog(nullptr); }

  // What is on stderr after a message that protobuf refuses.
  static std::string Parse() {
    ::testing::internal::CaptureStderr();
    google::protobuf::Value value;
    EXPECT_FALSE(value.ParseFromString(kNotUtf8));
    return ::testing::internal::GetCapturedStderr();
  }
};

TEST_F(LibraryLogTest, AMessageThatCannotBeReadIsNoLineOnStderr) {
  RouteGrpcLog(nullptr);
  EXPECT_EQ(Parse(), "");
}

TEST_F(LibraryLogTest, WhatALibrarySaysIsThereAtDebugLevel) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), std::fclose);
  const int fd = ::fileno(file.get());
  Logger logger(fd, Logger::Format::kJson, LogLevel::kInfo);
  RouteGrpcLog(&logger);
  EXPECT_EQ(Parse(), "");
  EXPECT_EQ(::lseek(fd, 0, SEEK_CUR), 0);
  logger.set_level(LogLevel::kDebug);
  EXPECT_EQ(Parse(), "");
  char text[2048] = {};
  ASSERT_GT(::pread(fd, text, sizeof(text) - 1, 0), 0);
  EXPECT_THAT(std::string(text), HasSubstr(R"("message":"protobuf library")"));
  EXPECT_THAT(std::string(text), HasSubstr("UTF-8"));
}

}  // namespace
}  // namespace byrnie
