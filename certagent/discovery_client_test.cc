#include "certagent/discovery_client.h"

#include <fcntl.h>

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/event/testing/manual_event_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

IpAddress Ip(absl::string_view text) { return *IpAddress::Parse(text); }

// The streams a client has opened, as the control plane sees them.
struct FakeServer {
  struct Stream {
    DiscoveryStream::Callbacks callbacks;
    std::vector<DiscoveryCache::Request> requests;
    bool open = true;
  };
  class Handle final : public DiscoveryStream {
   public:
    explicit Handle(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
    ~Handle() override { stream_->open = false; }
    void Send(DiscoveryCache::Request request) override {
      stream_->requests.push_back(std::move(request));
    }

   private:
    std::shared_ptr<Stream> stream_;
  };

  absl::Status failure;
  std::vector<std::shared_ptr<Stream>> streams;

  DiscoveryClient::StreamFactory Factory() {
    return [this](DiscoveryStream::Callbacks callbacks)
               -> absl::StatusOr<std::unique_ptr<DiscoveryStream>> {
      if (!failure.ok()) return failure;
      streams.push_back(std::make_shared<Stream>());
      streams.back()->callbacks = std::move(callbacks);
      return std::make_unique<Handle>(streams.back());
    };
  }
};

class DiscoveryClientTest : public ::testing::Test, public DiscoveryClient::Observer {
 protected:
  DiscoveryClientTest() {
    DiscoveryClient::Options options;
    options.node_id = "node";
    options.own_addresses = {Ip("10.77.0.2")};
    client_ = std::make_unique<DiscoveryClient>(&loop_, options, server_.Factory(), this, &log_,
                                                &metrics_, random_);
  }

  void OnAddresses(const std::vector<AddressPtr>& upserts,
                   const std::vector<std::string>& removals) override {
    for (const AddressPtr& address : upserts) events_.push_back("+" + address->workload().uid());
    for (const std::string& key : removals) events_.push_back("-" + key);
  }
  void OnPolicies(const PolicySet& policies) override {
    events_.push_back("policies " + std::to_string(policies.epoch));
  }

  void Resolve(absl::string_view ip) {
    client_->Resolve(Ip(ip), [this](ResolveResult result) {
      events_.push_back(result == ResolveResult::kFound      ? "found"
                        : result == ResolveResult::kNotFound ? "not found"
                                                             : "unavailable");
    });
  }

  void Refresh(absl::string_view ip) {
    client_->Refresh(Ip(ip), [this](ResolveResult result) {
      events_.push_back(result == ResolveResult::kFound      ? "refreshed"
                        : result == ResolveResult::kNotFound ? "gone"
                                                             : "unavailable");
    });
  }

  FakeServer::Stream& Stream() { return *server_.streams.back(); }
  void SendWorkload(const std::string& uid, absl::string_view ip) {
    istio::workload::Address address;
    address.mutable_workload()->set_uid(uid);
    address.mutable_workload()->add_addresses(Ip(ip).ToBytes());
    DiscoveryCache::Response response;
    response.set_type_url(DiscoveryCache::kAddressType);
    auto* resource = response.add_resources();
    resource->mutable_resource()->set_type_url(DiscoveryCache::kAddressType);
    resource->mutable_resource()->set_value(address.SerializeAsString());
    Stream().callbacks.on_message(response);
  }
  void SendAbsent(const std::string& name) {
    DiscoveryCache::Response response;
    response.set_type_url(DiscoveryCache::kAddressType);
    response.add_removed_resources(name);
    Stream().callbacks.on_message(response);
  }
  void SendPolicies() {
    DiscoveryCache::Response response;
    response.set_type_url(DiscoveryCache::kAuthorizationType);
    Stream().callbacks.on_message(response);
  }

  Logger log_{open("/dev/null", O_WRONLY | O_CLOEXEC), Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  std::mt19937_64 random_{1};
  ManualEventLoop loop_;
  FakeServer server_;
  std::vector<std::string> events_;
  std::unique_ptr<DiscoveryClient> client_;
};

TEST_F(DiscoveryClientTest, AnswersAfterTellingOfTheAddress) {
  client_->Connect();
  Resolve("10.0.0.1");
  EXPECT_THAT(events_, IsEmpty());
  EXPECT_THAT(Stream().requests.back().resource_names_subscribe(), ElementsAre("/10.0.0.1"));
  SendWorkload("b", "10.0.0.1");
  EXPECT_THAT(events_, ElementsAre("+b", "found"));
  Resolve("10.0.0.1");
  EXPECT_THAT(events_, ElementsAre("+b", "found", "found"));
}

TEST_F(DiscoveryClientTest, ARefreshAsksTheControlPlaneWhateverIsKnown) {
  client_->Connect();
  SendWorkload("a", "10.0.0.1");
  Refresh("10.0.0.1");
  EXPECT_THAT(Stream().requests.back().resource_names_subscribe(), ElementsAre("/10.0.0.1"));
  // Whatever is about something else answers other questions.
  SendWorkload("c", "10.0.0.3");
  EXPECT_THAT(events_, ElementsAre("+a", "+c"));
  SendWorkload("b", "10.0.0.1");
  EXPECT_THAT(events_, ElementsAre("+a", "+c", "+b", "refreshed"));
}

TEST_F(DiscoveryClientTest, ARefreshMayFindThatTheAddressIsGone) {
  client_->Connect();
  Resolve("1.2.3.4");
  SendAbsent("/1.2.3.4");
  Refresh("1.2.3.4");
  SendAbsent("/1.2.3.4");
  EXPECT_THAT(events_, ElementsAre("not found", "gone"));
}

TEST_F(DiscoveryClientTest, ARefreshIsUnavailableWhenTheControlPlaneIsSilent) {
  client_->Connect();
  SendWorkload("a", "10.0.0.1");
  Refresh("10.0.0.1");
  loop_.AdvanceTime(absl::Milliseconds(1501));
  EXPECT_THAT(events_, ElementsAre("+a", "unavailable"));
  Resolve("10.0.0.1");
  EXPECT_EQ(events_.back(), "found");
}

TEST_F(DiscoveryClientTest, AnswersThatAnAddressIsNotInTheMesh) {
  client_->Connect();
  Resolve("1.2.3.4");
  SendAbsent("/1.2.3.4");
  EXPECT_THAT(events_, ElementsAre("not found"));
}

TEST_F(DiscoveryClientTest, AnswersUnavailableWhenTheControlPlaneIsSilent) {
  client_->Connect();
  Resolve("1.2.3.4");
  loop_.AdvanceTime(absl::Milliseconds(1499));
  EXPECT_THAT(events_, IsEmpty());
  loop_.AdvanceTime(absl::Milliseconds(2));
  EXPECT_THAT(events_, ElementsAre("unavailable"));
}

TEST_F(DiscoveryClientTest, AsksOnceForManyQuestionsAndAnswersAll) {
  client_->Connect();
  const size_t before = Stream().requests.size();
  Resolve("10.0.0.1");
  Resolve("10.0.0.1");
  EXPECT_EQ(Stream().requests.size(), before + 1);
  SendWorkload("b", "10.0.0.1");
  EXPECT_THAT(events_, ElementsAre("+b", "found", "found"));
}

TEST_F(DiscoveryClientTest, TakesAQuestionAskedWithoutAStreamToTheNextOne) {
  Resolve("10.0.0.1");
  client_->Connect();
  EXPECT_THAT(Stream().requests[0].resource_names_subscribe(), Contains("/10.0.0.1"));
  SendWorkload("b", "10.0.0.1");
  EXPECT_THAT(events_, ElementsAre("+b", "found"));
}

TEST_F(DiscoveryClientTest, ReconnectsAndAnswersFromWhatItKnowsMeanwhile) {
  client_->Connect();
  SendWorkload("b", "10.0.0.1");
  SendPolicies();
  EXPECT_TRUE(client_->synced());
  auto on_closed = std::move(Stream().callbacks.on_closed);
  on_closed(absl::UnavailableError("gone"));
  EXPECT_FALSE(client_->synced());
  Resolve("10.0.0.1");
  EXPECT_EQ(events_.back(), "found");
  EXPECT_TRUE(client_->Policies().has_value());
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(server_.streams.size(), 2u);
  EXPECT_FALSE(Stream().requests[0].initial_resource_versions().empty());
}

TEST_F(DiscoveryClientTest, BacksOffWhileTheControlPlaneIsAway) {
  server_.failure = absl::UnavailableError("away");
  client_->Connect();
  loop_.AdvanceTime(absl::Minutes(1));
  server_.failure = absl::OkStatus();
  loop_.AdvanceTime(absl::Seconds(10));
  EXPECT_EQ(server_.streams.size(), 1u);
}

TEST_F(DiscoveryClientTest, MovesToANewStreamAndDropsTheOldOne) {
  client_->Connect();
  client_->Connect();
  ASSERT_EQ(server_.streams.size(), 2u);
  EXPECT_FALSE(server_.streams[0]->open);
  EXPECT_TRUE(server_.streams[1]->open);
}

TEST_F(DiscoveryClientTest, CountsPolicyEpochs) {
  client_->Connect();
  EXPECT_FALSE(client_->Policies().has_value());
  SendPolicies();
  SendPolicies();
  EXPECT_THAT(events_, ElementsAre("policies 1"));
}

}  // namespace
}  // namespace byrnie
