#ifndef BYRNIE_CERTAGENT_WORKLOAD_API_BYRNIE_JWT_ISSUER_H_
#define BYRNIE_CERTAGENT_WORKLOAD_API_BYRNIE_JWT_ISSUER_H_

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "certagent/workload_api/jwt_issuer.h"
#include "common/event/event_loop.h"
#include "grpcpp/channel.h"

namespace byrnie {

// IssueJwtSvid of byrnie.ca.v1. Calls run on gRPC's threads, which only post results to the loop.
class ByrnieJwtIssuer final : public JwtIssuer {
 public:
  static constexpr absl::Duration kTimeout = absl::Seconds(10);

  // Gives a channel to the authority that shows our certificate, or why there is none now.
  using ChannelSource = absl::AnyInvocable<absl::StatusOr<std::shared_ptr<grpc::Channel>>()>;

  // `loop` outlives the issuer.
  ByrnieJwtIssuer(EventLoop* loop, ChannelSource channels);
  ByrnieJwtIssuer(const ByrnieJwtIssuer&) = delete;
  ByrnieJwtIssuer& operator=(const ByrnieJwtIssuer&) = delete;
  ~ByrnieJwtIssuer() override;

  void Issue(const std::vector<std::string>& audience, Callback done) override;

 private:
  struct Call;
  void OnDone(const std::shared_ptr<Call>& call, absl::Status status);

  EventLoop* const loop_;  // Not owned.
  ChannelSource channels_;
  std::list<std::shared_ptr<Call>> calls_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_WORKLOAD_API_BYRNIE_JWT_ISSUER_H_
