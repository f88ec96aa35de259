#ifndef BYRNIE_CONTROLPLANE_AGENTS_AGENT_QUESTIONS_H_
#define BYRNIE_CONTROLPLANE_AGENTS_AGENT_QUESTIONS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/monotonic_cond_var.h"

namespace byrnie {

// "Are you there?", asked of agents while an operator waits: a process that hangs keeps its
// connection, and the kernel acknowledges for it. Knows agents by the address of their connection,
// "ip:port". Thread-safe.
class AgentQuestions {
 public:
  struct Answer {
    // The pod's proxy is connected to it.
    bool has_proxy = false;
    // And has answered it, too.
    bool proxy_answers = false;
  };
  // By address, of those that can be asked; absent: it has not answered.
  using Answers = std::map<std::string, absl::optional<Answer>>;

  // A stream of the agent's is there, and has said that it answers; or it is gone.
  void OnListening(const std::string& address);
  void OnGone(const std::string& address);
  // What to ask on the stream from there now, once; absent: nothing.
  absl::optional<uint64_t> Take(const std::string& address);
  // Answers to what was not asked are ignored.
  void OnAnswer(const std::string& address, uint64_t question, Answer answer);

  // Asks those of `addresses` that answer, all at the same time, and waits until all have, for
  // `patience` at most. `wake` makes their streams call Take().
  Answers Ask(const std::set<std::string>& addresses, absl::Duration patience,
              const std::function<void(const std::set<std::string>&)>& wake);

 private:
  struct Listener {
    int streams = 0;
    // The newest, whether it is still to be written, and what the newest answer was to.
    uint64_t asked = 0;
    bool due = false;
    uint64_t answered = 0;
    Answer answer;
  };
  // By address, the question that was asked there.
  using Asked = std::map<std::string, uint64_t>;
  bool AllAnswered(const Asked& asked) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  absl::Mutex mu_;
  // Somebody has answered, or is gone.
  MonotonicCondVar settled_;
  absl::flat_hash_map<std::string, Listener> listeners_ ABSL_GUARDED_BY(mu_);
  uint64_t last_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AGENTS_AGENT_QUESTIONS_H_
