// What an etcd that dies, forgets or answers too late does to a store. The rest is in
// store_conformance_test.

#include "controlplane/store/etcd/etcd_store.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/status_matchers.h"
#include "controlplane/store/etcd/testing/etcd_server.h"
#include "controlplane/store/testing/recording_listener.h"
#include "etcd/etcdserverpb/rpc.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Stands before an etcd and loses what it is told to lose.
class LossyEtcd final : public etcdserverpb::KV::Service {
 public:
  explicit LossyEtcd(const std::string& etcd)
      : channel_(grpc::CreateChannel(etcd, grpc::InsecureChannelCredentials())),
        kv_(etcdserverpb::KV::NewStub(channel_)),
        lease_(this) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    builder.RegisterService(&lease_);
    server_ = builder.BuildAndStart();
  }

  std::string endpoint() const { return absl::StrCat("127.0.0.1:", port_); }
  // The next transactions are carried out, and nobody learns of it.
  void LoseAnswers(int count) { lose_answers_ = count; }
  // The next transaction is kept, with an answer that says nothing.
  void KeepNext() { keep_next_ = true; }
  // Transactions are refused, as by an etcd that is full.
  void TakeNoMore() { full_ = true; }
  // The next read waits, once it has come, until it is let go.
  void HoldNextRead() { hold_next_read_ = true; }
  void AwaitHeldRead() { held_.WaitForNotification(); }
  void LetReadGo() { let_go_.Notify(); }
  // What was kept reaches the etcd after all; true when its conditions held.
  bool DeliverKept() {
    etcdserverpb::TxnResponse response;
    grpc::ClientContext context;
    EXPECT_TRUE(kv_->Txn(&context, kept_, &response).ok());
    return response.succeeded();
  }

 private:
  class LeaseService final : public etcdserverpb::Lease::Service {
   public:
    explicit LeaseService(LossyEtcd* etcd) : stub_(etcdserverpb::Lease::NewStub(etcd->channel_)) {}
    grpc::Status LeaseGrant(grpc::ServerContext*, const etcdserverpb::LeaseGrantRequest* request,
                            etcdserverpb::LeaseGrantResponse* response) override {
      grpc::ClientContext context;
      return stub_->LeaseGrant(&context, *request, response);
    }

   private:
    const std::unique_ptr<etcdserverpb::Lease::Stub> stub_;
  };

  grpc::Status Range(grpc::ServerContext*, const etcdserverpb::RangeRequest* request,
                     etcdserverpb::RangeResponse* response) override {
    if (hold_next_read_.exchange(false)) {
      held_.Notify();
      let_go_.WaitForNotification();
    }
    grpc::ClientContext context;
    return kv_->Range(&context, *request, response);
  }
  grpc::Status Txn(grpc::ServerContext*, const etcdserverpb::TxnRequest* request,
                   etcdserverpb::TxnResponse* response) override {
    if (full_) {
      return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                          "etcdserver: mvcc: database space exceeded");
    }
    if (keep_next_.exchange(false)) {
      kept_ = *request;
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "kept");
    }
    grpc::ClientContext context;
    const grpc::Status status = kv_->Txn(&context, *request, response);
    if (lose_answers_ > 0) {
      --lose_answers_;
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "lost");
    }
    return status;
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<etcdserverpb::KV::Stub> kv_;
  LeaseService lease_;
  std::atomic<int> lose_answers_{0};
  std::atomic<bool> keep_next_{false};
  std::atomic<bool> full_{false}, hold_next_read_{false};
  absl::Notification held_, let_go_;
  etcdserverpb::TxnRequest kept_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

class EtcdStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto etcd = EtcdServer::Start();
    ASSERT_THAT(etcd, IsOk());
    etcd_ = *std::move(etcd);
  }
  absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& endpoint,
                                              absl::string_view prefix = "byrnie") {
    return EtcdStore::Open(*ParseEtcdUrls(absl::StrCat("http://", endpoint, "/", prefix)), &clock_);
  }
  void Compact(int64_t revision) {
    const auto stub = etcdserverpb::KV::NewStub(
        grpc::CreateChannel(etcd_->endpoint(), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    etcdserverpb::CompactionRequest request;
    request.set_revision(revision);
    request.set_physical(true);
    etcdserverpb::CompactionResponse response;
    EXPECT_TRUE(stub->Compact(&context, request, &response).ok());
  }

  SystemClock clock_;
  std::unique_ptr<EtcdServer> etcd_;
};

TEST_F(EtcdStoreTest, MeshesWithPrefixesOfTheirOwnDoNotMeet) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Store> one, Open(etcd_->endpoint(), "mesh"));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Store> other, Open(etcd_->endpoint(), "mesh2"));
  ASSERT_THAT(one->Commit(StoreTransaction().Put("a", "1")), IsOk());
  EXPECT_FALSE(other->Get("a")->has_value());
  EXPECT_THAT(other->Count(""), IsOkAndHolds(0));
}

TEST_F(EtcdStoreTest, AWriteWhoseAnswerIsLostIsDoneOnceAndAcknowledged) {
  LossyEtcd lossy(etcd_->endpoint());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Store> store, Open(lossy.endpoint()));
  ASSERT_OK_AND_ASSIGN(const int64_t first, store->Commit(StoreTransaction().Put("a", "1")));
  lossy.LoseAnswers(3);
  // Sent again, this condition would not hold any more.
  ASSERT_OK_AND_ASSIGN(
      const int64_t second,
      store->Commit(StoreTransaction().RequireRevision("a", first).Put("a", "2").Put("b", "2")));
  EXPECT_EQ((*store->Get("a"))->value, "2");
  EXPECT_EQ((*store->Get("a"))->revision, second);
  // What follows uses the same mark.
  ASSERT_OK_AND_ASSIGN(const int64_t third, store->Commit(StoreTransaction().Put("a", "3")));
  EXPECT_GT(third, second);
}

TEST_F(EtcdStoreTest, ARefusalWhoseAnswersAreLostIsARefusal) {
  LossyEtcd lossy(etcd_->endpoint());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Store> store, Open(lossy.endpoint()));
  ASSERT_THAT(store->Commit(StoreTransaction().Put("a", "1")), IsOk());
  for (int lost = 1; lost <= 3; ++lost) {
    lossy.LoseAnswers(lost);
    EXPECT_THAT(store->Commit(StoreTransaction().RequireAbsent("a").Put("a", "2")),
                StatusIs(absl::StatusCode::kAborted));
  }
  EXPECT_THAT(store->Commit(StoreTransaction().Put("a", "3")), IsOk());
  EXPECT_EQ((*store->Get("a"))->value, "3");
}

TEST_F(EtcdStoreTest, WhatWasRefusedIsNotDoneLater) {
  LossyEtcd lossy(etcd_->endpoint());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Store> store, Open(lossy.endpoint()));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Store> other, Open(etcd_->endpoint()));
  ASSERT_THAT(other->Commit(StoreTransaction().Put("a", "1")), IsOk());
  lossy.KeepNext();
  EXPECT_THAT(store->Commit(StoreTransaction().RequireAbsent("a").Put("a", "2")),
              StatusIs(absl::StatusCode::kAborted));
  // Its condition has come true, and the first attempt arrives.
  ASSERT_THAT(other->Commit(StoreTransaction().Delete("a")), IsOk());
  EXPECT_FALSE(lossy.DeliverKept());
  EXPECT_FALSE(other->Get("a")->has_value());
}

TEST_F(EtcdStoreTest, AnEtcdThatIsAwayIsUnavailableAtOnceForAllButOne) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Store> store, Open(etcd_->endpoint()));
  ASSERT_THAT(store->Commit(StoreTransaction().Put("a", "1")), IsOk());
  etcd_->Kill();
  // The connection may break in the middle of the first call.
  EXPECT_FALSE(store->Get("a").ok());
  EXPECT_THAT(store->Commit(StoreTransaction().Put("a", "2")),
              StatusIs(absl::StatusCode::kUnavailable,
                       AllOf(HasSubstr(etcd_->endpoint()), HasSubstr("nothing was changed"))));
  std::thread finds_out([&store] { EXPECT_FALSE(store->Get("a").ok()); });
  std::vector<std::thread> others;
  std::atomic<int> unavailable{0};
  for (int i = 0; i < 8; ++i) {
    others.emplace_back([&] { unavailable += absl::IsUnavailable(store->Get("a").status()); });
  }
  for (std::thread& thread : others) thread.join();
  finds_out.join();
  EXPECT_EQ(unavailable, 8);
  ASSERT_THAT(etcd_->Restart(), IsOk());
  // The next to ask finds out.
  ASSERT_OK_AND_ASSIGN(const absl::optional<StoreEntry> entry, store->Get("a"));
  EXPECT_EQ(entry->value, "1");
}

// A write that is refused is an answer: whoever reads beside it does not wait for the next.
TEST_F(EtcdStoreTest, AnEtcdThatTakesNoMoreIsReadFromAllTheSame) {
  LossyEtcd lossy(etcd_->endpoint());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Store> store, Open(lossy.endpoint()));
  ASSERT_THAT(store->Commit(StoreTransaction().Put("a", "1")), IsOk());
  lossy.TakeNoMore();
  EXPECT_THAT(store->Commit(StoreTransaction().Put("a", "2")),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("takes no more")));
  lossy.HoldNextRead();
  std::thread slow([&store] { EXPECT_THAT(store->Get("a"), IsOk()); });
  lossy.AwaitHeldRead();
  EXPECT_THAT(store->Get("a"), IsOk());
  lossy.LetReadGo();
  slow.join();
}

TEST_F(EtcdStoreTest, NothingAcknowledgedIsLostWhenTheServerDiesAgainAndAgain) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Store> store, Open(etcd_->endpoint()));
  ASSERT_THAT(store->Commit(StoreTransaction().Put("counter", "0")), IsOk());
  std::atomic<bool> done{false};
  std::atomic<int> acknowledged{0}, unknown{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!done) {
        const absl::StatusOr<absl::optional<StoreEntry>> entry = store->Get("counter");
        if (!entry.ok()) continue;
        const absl::Status status =
            store
                ->Commit(StoreTransaction()
                             .RequireRevision("counter", (*entry)->revision)
                             .Put("counter", absl::StrCat(std::stoi((*entry)->value) + 1)))
                .status();
        if (status.ok()) ++acknowledged;
        if (absl::IsUnknown(status)) ++unknown;
      }
    });
  }
  for (int round = 0; round < 3; ++round) {
    const int before = acknowledged;
    while (acknowledged < before + 20) std::this_thread::yield();
    ASSERT_THAT(etcd_->Restart(), IsOk());
  }
  // It answers again, but only with this has the store tried it since.
  const int before = acknowledged;
  while (acknowledged == before) std::this_thread::yield();
  done = true;
  for (std::thread& thread : threads) thread.join();
  const absl::StatusOr<absl::optional<StoreEntry>> left = store->Get("counter");
  ASSERT_THAT(left, IsOk());
  const int counted = std::stoi((*left)->value);
  EXPECT_GE(counted, acknowledged);
  EXPECT_LE(counted, acknowledged + unknown);
}

TEST_F(EtcdStoreTest, AWatchOutlivesTheServer) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Store> store, Open(etcd_->endpoint()));
  RecordingListener listener;
  const std::unique_ptr<StoreWatch> watch = store->Watch("w/", &listener);
  ASSERT_TRUE(listener.AwaitResets(1));
  ASSERT_THAT(store->Commit(StoreTransaction().Put("w/a", "1")), IsOk());
  ASSERT_TRUE(listener.Await("w/a=1 ; "));
  ASSERT_THAT(etcd_->Restart(), IsOk());
  ASSERT_THAT(store->Commit(StoreTransaction().Put("w/a", "2")), IsOk());
  EXPECT_TRUE(listener.Await("w/a=1 ; w/a=2 ; ")) << listener.text();
  EXPECT_EQ(listener.resets(), 1);
}

TEST_F(EtcdStoreTest, AWatchThatIsBehindACompactionBeginsAnew) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Store> store, Open(etcd_->endpoint()));
  RecordingListener listener;
  absl::Notification reading, compacted;
  std::atomic<int> calls{0};
  listener.ReadWith([&] {
    if (++calls == 1) {
      reading.Notify();
      compacted.WaitForNotification();
    }
    return absl::OkStatus();
  });
  const std::unique_ptr<StoreWatch> watch = store->Watch("w/", &listener);
  reading.WaitForNotification();
  int64_t revision = 0;
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(revision, store->Commit(StoreTransaction().Put("w/a", absl::StrCat(i))));
  }
  Compact(revision);
  compacted.Notify();
  ASSERT_TRUE(listener.AwaitResets(2));
  ASSERT_THAT(store->Commit(StoreTransaction().Put("w/b", "x")), IsOk());
  EXPECT_TRUE(listener.Await("w/b=x ; ")) << listener.text();
}

TEST_F(EtcdStoreTest, ThePlaceOfOneThatEndsIsTaken) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<Store> store, Open(etcd_->endpoint()));
  const auto await = [](StoreElection* election) {
    const absl::Time deadline = absl::Now() + RecordingListener::kPatience;
    while (!election->Leading().has_value() && absl::Now() < deadline) std::this_thread::yield();
    return election->Leading();
  };
  std::unique_ptr<StoreElection> first = store->Campaign("keeper");
  const absl::optional<StoreCondition> while_first = await(first.get());
  ASSERT_TRUE(while_first.has_value());
  const std::unique_ptr<StoreElection> second = store->Campaign("keeper");
  EXPECT_FALSE(second->Leading().has_value());
  EXPECT_THAT(store->Commit(StoreTransaction().Require(*while_first).Put("a", "1")), IsOk());
  first = nullptr;
  ASSERT_TRUE(await(second.get()).has_value());
  // One that has not noticed yet changes nothing any more.
  EXPECT_THAT(store->Commit(StoreTransaction().Require(*while_first).Put("a", "2")),
              StatusIs(absl::StatusCode::kAborted));
}

TEST_F(EtcdStoreTest, OneThatIsNotThereIsSaidAtTheStart) {
  etcd_->Kill();
  EXPECT_THAT(Open(etcd_->endpoint()), StatusIs(absl::StatusCode::kUnavailable,
                                                HasSubstr("see whether most of its members run")));
}

}  // namespace
}  // namespace byrnie
