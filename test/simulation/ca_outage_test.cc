// 20 000 agents and one authority, in virtual time: what a start of all at once, months of renewals
// and an outage do to the authority, and to the certificates.
//
// Real are the code that decides when an agent asks (RenewalSchedule, with its policy) and the code
// that decides whom the authority serves (IssueLimiter). The clocks, the network, and what a
// certificate is made of are not there.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <iostream>
#include <map>
#include <queue>
#include <random>
#include <utility>
#include <vector>

#include "certagent/renewal_schedule.h"
#include "common/base/retry_after.h"
#include "controlplane/ca/issue_limiter.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr int kAgents = 20000;
constexpr absl::Duration kOutage = absl::Minutes(30);
constexpr absl::Time kEpoch = absl::FromUnixSeconds(1893456000);

class Fleet {
 public:
  Fleet(absl::Duration life, double cap) : life_(life), limiter_(cap) {
    for (int i = 0; i < kAgents; ++i) {
      agents_.push_back(Agent{RenewalSchedule([this] { return uniform_(engine_); })});
      // Pods of one deployment start within a second.
      Plan(i, absl::Seconds(uniform_(engine_)));
    }
  }

  void RunUntil(absl::Duration end) {
    while (!events_.empty() && events_.top().first <= end) {
      const auto [now, index] = events_.top();
      events_.pop();
      Ask(now, index);
    }
  }
  void set_up(bool up) { up_ = up; }

  // Certificates that ended before they were replaced, and those that would by `now`.
  int expired(absl::Duration now) const {
    int count = expired_;
    for (const Agent& agent : agents_) count += agent.not_after < kEpoch + now ? 1 : 0;
    return count;
  }
  // What the authority saw from `begin` to `end`, in steps of `step`.
  std::vector<int> Requests(absl::Duration begin, absl::Duration end, absl::Duration step) const {
    return Count(requests_, begin, end, step);
  }
  std::vector<int> Issued(absl::Duration begin, absl::Duration end, absl::Duration step) const {
    return Count(issued_, begin, end, step);
  }
  absl::Duration shortest_gap() const { return shortest_gap_; }

 private:
  struct Agent {
    RenewalSchedule schedule;
    absl::Time not_after = absl::InfiniteFuture();  // Until the first one.
    absl::Duration asked = -absl::InfiniteDuration();
  };
  using Event = std::pair<absl::Duration, int>;

  void Plan(int index, absl::Duration at) { events_.emplace(at, index); }

  void Ask(absl::Duration now, int index) {
    Agent& agent = agents_[index];
    const RenewalSchedule::Instant instant = {kEpoch + now, now};
    shortest_gap_ = std::min(shortest_gap_, now - agent.asked);
    agent.asked = now;
    const bool has_certificate = agent.not_after != absl::InfiniteFuture();
    absl::Status answer = absl::UnavailableError("away");
    if (up_) {
      requests_.push_back(now);
      answer = limiter_.Admit(now);
    }
    if (answer.ok()) {
      issued_.push_back(now);
      if (has_certificate && agent.not_after < instant.wall) ++expired_;
      agent.not_after = instant.wall + life_;
      // As Authority::Issue says it.
      agent.schedule.OnIssued(
          instant, agent.not_after,
          RenewalWindow{instant.wall + life_ * 0.4, instant.wall + life_ * 0.6});
    } else {
      agent.schedule.OnFailed(
          instant, has_certificate ? absl::optional<absl::Time>(agent.not_after) : absl::nullopt,
          RetryAfter(answer));
    }
    Plan(index, now + agent.schedule.UntilDue(instant));
  }

  static std::vector<int> Count(const std::vector<absl::Duration>& events, absl::Duration begin,
                                absl::Duration end, absl::Duration step) {
    std::vector<int> counts(static_cast<size_t>((end - begin) / step));
    for (const absl::Duration at : events) {
      if (at >= begin && at < end) ++counts[static_cast<size_t>((at - begin) / step)];
    }
    return counts;
  }

  const absl::Duration life_;
  std::mt19937_64 engine_{20261125};
  std::uniform_real_distribution<double> uniform_{0, 1};
  IssueLimiter limiter_;
  std::vector<Agent> agents_;
  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> events_;
  bool up_ = true;
  std::vector<absl::Duration> requests_, issued_;
  int expired_ = 0;
  absl::Duration shortest_gap_ = absl::InfiniteDuration();
};

int Peak(const std::vector<int>& counts) { return *std::max_element(counts.begin(), counts.end()); }

double Mean(const std::vector<int>& counts) {
  double sum = 0;
  for (int count : counts) sum += count;
  return sum / counts.size();
}

struct Case {
  const char* name;
  absl::Duration life;
  double cap;  // Certificates a second.
};

class CaOutageTest : public ::testing::TestWithParam<Case> {};

TEST_P(CaOutageTest, CostsNoCertificateAndNeverMoreThanTheAuthorityCanDo) {
  const absl::Duration life = GetParam().life;
  const double cap = GetParam().cap;
  Fleet fleet(life, cap);

  // All at once: nobody waits longer than the cap makes unavoidable, give or take the spread.
  const absl::Duration served = absl::Seconds(kAgents / cap);
  fleet.RunUntil(served * 3);
  EXPECT_EQ(Mean(fleet.Issued(absl::ZeroDuration(), served * 3, served * 3)), kAgents);
  // A second may begin with what a pause has saved.
  EXPECT_LE(Peak(fleet.Issued(absl::ZeroDuration(), served * 3, absl::Seconds(1))), cap * 1.1 + 1);

  // The start has been forgotten after some thirty renewals.
  const absl::Duration steady = life * 16;
  const absl::Duration outage = steady + life * 4;
  fleet.RunUntil(outage);
  // Some four hundred renewals each, so that chance is not what is measured.
  const absl::Duration step = life / 90;
  const std::vector<int> steps = fleet.Requests(steady, outage, step);
  const double peak_to_mean = Peak(steps) / Mean(steps);
  EXPECT_LT(peak_to_mean, 1.3);

  fleet.set_up(false);
  fleet.RunUntil(outage + kOutage);
  fleet.set_up(true);
  const absl::Duration end = outage + kOutage + life;
  fleet.RunUntil(end);
  const int expired = fleet.expired(end);
  EXPECT_EQ(expired, 0);
  const std::vector<int> seconds = fleet.Requests(outage + kOutage, end, absl::Seconds(1));
  EXPECT_LE(Peak(seconds), cap);
  EXPECT_GE(fleet.shortest_gap(), absl::Seconds(1));

  std::cout << kAgents << " agents, certificates of " << life << ", cap " << cap
            << "/s: steady state " << Mean(steps) / absl::ToDoubleSeconds(step)
            << "/s, peak to mean " << peak_to_mean << "; after an outage of " << kOutage << ": "
            << expired << " expired, at most " << Peak(seconds) << " requests and "
            << Peak(fleet.Issued(outage + kOutage, end, absl::Seconds(1)))
            << " certificates a second\n";
}

INSTANTIATE_TEST_SUITE_P(Lives, CaOutageTest,
                         ::testing::Values(Case{"NinetyMinutes", absl::Minutes(90), 500},
                                           Case{"TwoHours", absl::Hours(2), 500},
                                           Case{"OneDay", absl::Hours(24), 500}),
                         [](const ::testing::TestParamInfo<Case>& info) {
                           return info.param.name;
                         });

}  // namespace
}  // namespace byrnie
