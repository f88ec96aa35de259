#ifndef BYRNIE_CTL_FLEET_H_
#define BYRNIE_CTL_FLEET_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "byrnie/operator/v1/operator.pb.h"

namespace byrnie {

// Of several control planes that share a store each knows for itself which agents are connected to
// it and what has happened there; all of them together know all.

// A control plane that has not answered.
struct MissingAnswer {
  std::string target, why;
};

// What control planes have answered, in the order in which they were given.
template <typename Answer>
struct FleetAnswers {
  std::vector<Answer> answers;
  std::vector<std::string> targets;  // Of each answer.
  std::vector<MissingAnswer> missing;
};

// A control plane that is there answers sooner; one of several is not to be waited for long.
inline constexpr absl::Duration kConnectTime = absl::Seconds(2);

// Asks each client. Of several, one that does not answer is named among the missing, for whatever
// reason; the error is that of the first where none does.
template <typename Answer, typename Client>
absl::StatusOr<FleetAnswers<Answer>> AskFleet(
    const std::vector<Client*>& clients,
    const std::function<absl::StatusOr<Answer>(Client*)>& ask) {
  FleetAnswers<Answer> all;
  absl::Status first;
  for (Client* const client : clients) {
    // For the last hope the call itself says why it failed.
    const bool hopeless = clients.size() > 1 && !client->ConnectsWithin(kConnectTime) &&
                          !(all.answers.empty() && client == clients.back());
    absl::StatusOr<Answer> answer = absl::UnavailableError("it cannot be reached");
    if (!hopeless) answer = ask(client);
    if (answer.ok()) {
      all.answers.push_back(*std::move(answer));
      all.targets.push_back(client->target());
      continue;
    }
    if (!hopeless && first.ok()) first = answer.status();
    all.missing.push_back({client->target(), std::string(answer.status().message())});
  }
  if (all.answers.empty()) return first;
  return all;
}

// Agents of several control planes, each once: where it is connected, or else where it was seen
// last; by SPIFFE ID, then address.
std::vector<byrnie::operator_::v1::Agent> MergeAgents(
    std::vector<byrnie::operator_::v1::Agent> agents);

// Workloads of several control planes, each once, in the order of the first: its agent is connected
// if it is anywhere.
std::vector<byrnie::operator_::v1::Workload> MergeWorkloads(
    const std::vector<std::vector<byrnie::operator_::v1::Workload>>& lists);

// What several control planes tell of the past, by time; a gap stays before the event that it was
// told before.
std::vector<byrnie::operator_::v1::WatchEventsResponse> MergeEvents(
    const std::vector<std::vector<byrnie::operator_::v1::WatchEventsResponse>>& lists);

// What several control planes, at least one, say of the same connection: what one does not know and
// another does is taken from that one. Which step fails first, and the verdict, are left as one of
// them has it.
byrnie::operator_::v1::ExplainResponse MergeExplanations(
    const std::vector<byrnie::operator_::v1::ExplainResponse>& answers);

}  // namespace byrnie

#endif  // BYRNIE_CTL_FLEET_H_
