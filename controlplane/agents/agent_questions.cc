#include "controlplane/agents/agent_questions.h"

namespace byrnie {

void AgentQuestions::OnListening(const std::string& address) {
  absl::MutexLock lock(&mu_);
  ++listeners_[address].streams;
}

void AgentQuestions::OnGone(const std::string& address) {
  absl::MutexLock lock(&mu_);
  const auto found = listeners_.find(address);
  if (found == listeners_.end() || --found->second.streams > 0) return;
  listeners_.erase(found);
  settled_.NotifyAll();
}

absl::optional<uint64_t> AgentQuestions::Take(const std::string& address) {
  absl::MutexLock lock(&mu_);
  const auto found = listeners_.find(address);
  if (found == listeners_.end() || !found->second.due) return absl::nullopt;
  found->second.due = false;
  return found->second.asked;
}

void AgentQuestions::OnAnswer(const std::string& address, uint64_t question, Answer answer) {
  absl::MutexLock lock(&mu_);
  const auto found = listeners_.find(address);
  if (found == listeners_.end() || question > found->second.asked) return;
  // An agent that waits for its proxy may answer two questions in another order than they came.
  if (question <= found->second.answered) return;
  found->second.answered = question;
  found->second.answer = answer;
  settled_.NotifyAll();
}

// Whoever is gone meanwhile is not waited for.
bool AgentQuestions::AllAnswered(const Asked& asked) const {
  for (const auto& [address, question] : asked) {
    const auto found = listeners_.find(address);
    if (found != listeners_.end() && found->second.answered < question) return false;
  }
  return true;
}

AgentQuestions::Answers AgentQuestions::Ask(
    const std::set<std::string>& addresses, absl::Duration patience,
    const std::function<void(const std::set<std::string>&)>& wake) {
  Asked asked;
  std::set<std::string> listening;
  {
    absl::MutexLock lock(&mu_);
    for (const std::string& address : addresses) {
      const auto found = listeners_.find(address);
      if (found == listeners_.end()) continue;
      found->second.asked = ++last_;
      found->second.due = true;
      asked[address] = last_;
      listening.insert(address);
    }
  }
  if (listening.empty()) return {};
  wake(listening);
  Answers answers;
  absl::MutexLock lock(&mu_);
  const auto over = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return AllAnswered(asked); };
  settled_.AwaitWithTimeout(&mu_, patience, over);
  for (const auto& [address, question] : asked) {
    const auto found = listeners_.find(address);
    if (found == listeners_.end()) continue;
    absl::optional<Answer>& answer = answers[address];
    if (found->second.answered >= question) answer = found->second.answer;
  }
  return answers;
}

}  // namespace byrnie
