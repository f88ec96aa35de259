#ifndef BYRNIE_CTL_OPERATOR_CLIENT_H_
#define BYRNIE_CTL_OPERATOR_CLIENT_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "byrnie/operator/v1/operator.grpc.pb.h"
#include "common/base/secret_bytes.h"
#include "common/grpc/control_plane_channel.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"

namespace byrnie {

// Calls the operator API of one control plane. Blocks, at most kTimeout per call unless told
// otherwise. Lives on one thread.
class OperatorClient {
 public:
  using Stub = byrnie::operator_::v1::Operator::Stub;
  using EventResponse = byrnie::operator_::v1::WatchEventsResponse;
  static constexpr absl::Duration kTimeout = absl::Seconds(10);

  // A token that is empty is not sent: then the identity is the proof. InvalidArgument as
  // CreateControlPlaneChannel.
  static absl::StatusOr<std::unique_ptr<OperatorClient>> Create(
      const std::string& target, const std::string& trust_domain,
      const std::string& trust_bundle_pem, SecretBytes token,
      absl::optional<ControlPlaneClientIdentity> identity);

  // HOST:PORT.
  const std::string& target() const { return target_; }
  // Whether there is a connection to it, waiting `time` for one at most; a refused one is not
  // waited for.
  bool ConnectsWithin(absl::Duration time);

  // Errors in words a person can act on; the code is the server's. One for which IsUnreachable() is
  // true came about without an answer.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request, absl::Duration timeout = kTimeout) {
    grpc::ClientContext context;
    Prepare(timeout, &context);
    Response response;
    const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) return Explain(context, status);
    return response;
  }

  // All elements of a list, page by page: `elements` gives a page's.
  template <typename Request, typename Response, typename Element>
  absl::StatusOr<std::vector<Element>> ListAll(
      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
      Request request, google::protobuf::RepeatedPtrField<Element>* (Response::*elements)()) {
    std::vector<Element> all;
    do {
      absl::StatusOr<Response> page = Call(method, request);
      if (!page.ok()) return page.status();
      for (Element& element : *((*page).*elements)()) all.push_back(std::move(element));
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty());
    return all;
  }

  // Gives what comes to `on_response` until that says false or the stream ends. With `patient` a
  // connection that cannot be made is waited for, however long that takes.
  absl::Status WatchEvents(const byrnie::operator_::v1::WatchEventsRequest& request,
                           const std::function<bool(const EventResponse&)>& on_response,
                           bool patient = false);

  static bool IsUnreachable(const absl::Status& status);

 private:
  OperatorClient(std::string target, std::shared_ptr<grpc::Channel> channel, SecretBytes token,
                 bool has_certificate)
      : target_(std::move(target)),
        channel_(std::move(channel)),
        stub_(byrnie::operator_::v1::Operator::NewStub(channel_)),
        token_(std::move(token)),
        has_certificate_(has_certificate) {}
  void Prepare(absl::Duration timeout, grpc::ClientContext* context) const;
  void AddToken(grpc::ClientContext* context) const;
  absl::Status Explain(const grpc::ClientContext& context, const grpc::Status& status) const;

  const std::string target_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<Stub> stub_;
  const SecretBytes token_;
  // It is the proof where there is no token.
  const bool has_certificate_;
};

}  // namespace byrnie

#endif  // BYRNIE_CTL_OPERATOR_CLIENT_H_
