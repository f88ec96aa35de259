#include "test/bench/load/measurement.h"

#include <unistd.h>

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "test/bench/load/cpu_time.h"

namespace byrnie::load {
namespace {

// How long a TCP that waits to acknowledge makes a TCP wait that waits for acknowledgements.
constexpr absl::Duration kDelayedLeast = absl::Milliseconds(35);
constexpr absl::Duration kDelayedMost = absl::Milliseconds(50);

}  // namespace

void Measurement::Begin() {
  state_ = State::kMeasuring;
  cpu_ = CpuTimes();
  time_ = Now();
}

void Measurement::End() {
  state_ = State::kAfter;
  time_ = Now() - time_;
  const std::vector<absl::Duration> now = CpuTimes();
  for (size_t i = 0; i < now.size(); ++i) cpu_[i] = now[i] - cpu_[i];
}

std::vector<absl::Duration> Measurement::CpuTimes() {
  std::vector<pid_t> all = {getpid()};
  all.insert(all.end(), processes_.begin(), processes_.end());
  std::vector<absl::Duration> times;
  for (const pid_t pid : all) {
    const absl::StatusOr<absl::Duration> time = CpuTimeOf(pid);
    if (!time.ok()) Fail(time.status());
    times.push_back(time.value_or(absl::ZeroDuration()));
  }
  return times;
}

void Measurement::Completed(absl::Duration latency) {
  ++completed_;
  if (state_ == State::kMeasuring) latencies_.Record(latency);
}

void Measurement::Fail(absl::Status status) {
  if (status_.ok()) status_ = std::move(status);
}

void Measurement::Report(JsonWriter* json) const {
  json->Field("seconds", absl::ToDoubleSeconds(time_));
  json->Field("own_cpu_seconds", absl::ToDoubleSeconds(cpu_[0]));
  json->Key("cpu_seconds").BeginObject();
  for (size_t i = 0; i < processes_.size(); ++i) {
    json->Field(absl::StrCat(processes_[i]), absl::ToDoubleSeconds(cpu_[i + 1]));
  }
  json->EndObject();
  if (operations() == 0) return;
  json->Field("completed", completed());
  json->Field("operations", operations());
  json->Key("latency_us").BeginObject();
  const std::pair<const char*, absl::Duration> figures[] = {
      {"min", latencies_.min()},          {"mean", latencies_.mean()},
      {"p50", latencies_.Quantile(0.5)},  {"p90", latencies_.Quantile(0.9)},
      {"p99", latencies_.Quantile(0.99)}, {"p999", latencies_.Quantile(0.999)},
      {"max", latencies_.max()},
  };
  for (const auto& [name, value] : figures) {
    json->Field(name, absl::ToDoubleMicroseconds(value));
  }
  json->EndObject();
  json->Field("between_35_and_50_ms", latencies_.CountBetween(kDelayedLeast, kDelayedMost));
}

}  // namespace byrnie::load
