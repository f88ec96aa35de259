#include "controlplane/operator/event_streams.h"

#include <string>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Request = EventReader::Request;

class EventReaderTest : public ::testing::Test {
 protected:
  // What a reader gives until there is nothing more: subjects, and "missed N".
  std::vector<std::string> Read(EventReader* reader) {
    std::vector<std::string> read;
    while (const auto response = reader->Next()) {
      EXPECT_EQ(response->control_plane(), "plane-1");
      if (response->has_missed()) {
        read.push_back("missed " + std::to_string(response->missed().count()));
      } else {
        read.push_back(response->event().subject());
        cursor_ = response->event().cursor();
      }
    }
    return read;
  }
  EventReader Reader(const Request& request) {
    return *EventReader::Create(&log_, request, "plane-1");
  }

  FakeClock clock_;
  EventLog log_{&clock_, 2};
  std::string cursor_;
};

TEST_F(EventReaderTest, GoesOnAfterTheCursorAndSaysWhatIsGone) {
  log_.Add(EventKind::kPolicyChanged, "a", "");
  EventReader first = Reader({});
  EXPECT_THAT(Read(&first), ElementsAre("a"));
  for (const char* subject : {"b", "c", "d"}) log_.Add(EventKind::kPolicyChanged, subject, "");
  Request request;
  request.set_cursor(cursor_);
  EventReader second = Reader(request);
  EXPECT_THAT(Read(&second), ElementsAre("missed 1", "c", "d"));
  // A reader that is too slow is told in the same way.
  for (const char* subject : {"e", "f", "g"}) log_.Add(EventKind::kPolicyChanged, subject, "");
  EXPECT_THAT(Read(&second), ElementsAre("missed 1", "f", "g"));
}

TEST_F(EventReaderTest, GivesTheKindsThatAreWanted) {
  log_.Add(EventKind::kPolicyChanged, "a", "");
  log_.Add(EventKind::kTrustChanged, "b", "");
  Request request;
  request.add_kinds(byrnie::operator_::v1::Event::KIND_TRUST_CHANGED);
  EventReader reader = Reader(request);
  EXPECT_THAT(Read(&reader), ElementsAre("b"));
}

TEST_F(EventReaderTest, RefusesKindsAndCursorsThatAreNone) {
  Request request;
  request.set_cursor("yesterday");
  EXPECT_THAT(EventReader::Create(&log_, request).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cursor")));
  request.clear_cursor();
  for (const int kind : {0, 99}) {
    request.clear_kinds();
    request.add_kinds(static_cast<byrnie::operator_::v1::Event::Kind>(kind));
    EXPECT_THAT(EventReader::Create(&log_, request).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("kinds")));
  }
}

// The numbers of the two enums are one by definition.
TEST(EventKindTest, IsNamedInTheApi) {
  for (int kind = 1; kind < byrnie::operator_::v1::Event::Kind_ARRAYSIZE; ++kind) {
    EXPECT_TRUE(byrnie::operator_::v1::Event::Kind_IsValid(kind));
  }
  EXPECT_EQ(static_cast<int>(EventKind::kOperatorRefused),
            byrnie::operator_::v1::Event::KIND_OPERATOR_REFUSED);
  EXPECT_EQ(static_cast<int>(EventKind::kConnectionDenied),
            byrnie::operator_::v1::Event::KIND_CONNECTION_DENIED);
  EXPECT_EQ(static_cast<int>(EventKind::kCertificateIssued),
            byrnie::operator_::v1::Event::KIND_CERTIFICATE_ISSUED);
  EXPECT_EQ(byrnie::operator_::v1::Event::Kind_ARRAYSIZE,
            static_cast<int>(EventKind::kConnectionDenied) + 1);
}

}  // namespace
}  // namespace byrnie
