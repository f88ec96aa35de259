#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_TESTING_FAKE_API_CLIENT_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_TESTING_FAKE_API_CLIENT_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "controlplane/kubernetes/api_client.h"

namespace byrnie {

// An ApiClient whose server is the test: it sees each request and answers when it likes, from
// outside the call that made it.
class FakeApiClient final : public ApiClient {
 public:
  std::unique_ptr<Call> Send(ApiRequest request, Handlers handlers) override {
    auto state = std::make_shared<State>(State{std::move(request), std::move(handlers), true});
    states_.push_back(state);
    return std::make_unique<CallImpl>(std::move(state));
  }

  size_t size() const { return states_.size(); }
  const ApiRequest& request(size_t i) const { return states_[i]->request; }
  const ApiRequest& last() const { return states_.back()->request; }
  // Whether it has neither been answered nor given up.
  bool open(size_t i) const { return states_[i]->open; }
  bool last_open() const { return !states_.empty() && states_.back()->open; }

  // The last request.
  void Answer(int status, std::string body) {
    AnswerTo(states_.size() - 1, status, std::move(body));
  }
  void AnswerTo(size_t i, int status, std::string body) {
    ApiResponse response;
    response.status = status;
    response.body = std::move(body);
    Finish(i, std::move(response));
  }
  void Fail(absl::Status status) { Finish(states_.size() - 1, std::move(status)); }
  void Finish(size_t i, absl::StatusOr<ApiResponse> response) {
    const std::shared_ptr<State> state = states_[i];
    if (!state->open) return;
    state->open = false;
    auto on_done = std::move(state->handlers.on_done);
    on_done(std::move(response));
  }
  // Gives a part of the body to the last request.
  void Stream(absl::string_view bytes) {
    const std::shared_ptr<State> state = states_.back();
    if (state->open) state->handlers.on_data(bytes);
  }

 private:
  struct State {
    ApiRequest request;
    Handlers handlers;
    bool open;
  };
  class CallImpl final : public Call {
   public:
    explicit CallImpl(std::shared_ptr<State> state) : state_(std::move(state)) {}
    ~CallImpl() override { state_->open = false; }

   private:
    std::shared_ptr<State> state_;
  };
  std::vector<std::shared_ptr<State>> states_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_TESTING_FAKE_API_CLIENT_H_
