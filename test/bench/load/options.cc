#include "test/bench/load/options.h"

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"

namespace byrnie::load {
namespace {

constexpr int kMostConnections = 100000;
constexpr int kMostProcess = 4194304;
// What a socket surely takes at once.
constexpr size_t kMostSize = 16 * 1024;

absl::Status Wrong(absl::string_view name, absl::string_view value, absl::string_view wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", name, "=", value, " is wrong; give ", wanted));
}

template <typename Integer>
absl::Status ParseInteger(absl::string_view name, absl::string_view text, Integer least,
                          Integer most, Integer* out) {
  Integer value;
  if (!absl::SimpleAtoi(text, &value) || value < least || value > most) {
    return Wrong(name, text, absl::StrCat("a number from ", least, " to ", most));
  }
  *out = value;
  return absl::OkStatus();
}

absl::Status ParsePort(absl::string_view name, absl::string_view text, uint16_t* out) {
  int port = 0;
  RETURN_IF_ERROR(ParseInteger(name, text, 1, 65535, &port));
  *out = static_cast<uint16_t>(port);
  return absl::OkStatus();
}

absl::Status ParseDuration(absl::string_view name, absl::string_view text, absl::Duration* out) {
  absl::Duration value;
  if (!absl::ParseDuration(text, &value) || value < absl::ZeroDuration() ||
      value > absl::Hours(1)) {
    return Wrong(name, text, "a duration up to 1h, such as 1.5s");
  }
  *out = value;
  return absl::OkStatus();
}

absl::Status ParseProcesses(absl::string_view name, absl::string_view text,
                            std::vector<pid_t>* out) {
  out->clear();
  for (const absl::string_view word : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    int pid = 0;
    RETURN_IF_ERROR(ParseInteger(name, word, 1, kMostProcess, &pid));
    out->push_back(pid);
  }
  return absl::OkStatus();
}

absl::Status ParseFlag(absl::string_view name, absl::string_view text, Options* options) {
  if (name == "echo_port") return ParsePort(name, text, &options->echo_port);
  if (name == "bulk_port") return ParsePort(name, text, &options->bulk_port);
  if (name == "connections") {
    return ParseInteger(name, text, 1, kMostConnections, &options->connections);
  }
  if (name == "bytes") {
    return ParseInteger<uint64_t>(name, text, 1, uint64_t{1} << 40, &options->bytes);
  }
  if (name == "size") return ParseInteger<size_t>(name, text, 8, kMostSize, &options->size);
  if (name == "warm_up") return ParseDuration(name, text, &options->warm_up);
  if (name == "window") return ParseDuration(name, text, &options->window);
  if (name == "cpu_of") return ParseProcesses(name, text, &options->cpu_of);
  if (name == "to") {
    ASSIGN_OR_RETURN(options->to, SocketAddress::Parse(text));
    return absl::OkStatus();
  }
  if (name == "direction") {
    if (text != "up" && text != "down") return Wrong(name, text, "up or down");
    options->upload = text == "up";
    return absl::OkStatus();
  }
  if (name == "rate") {
    if (!absl::SimpleAtod(text, &options->rate) || !(options->rate > 0 && options->rate <= 1e6)) {
      return Wrong(name, text, "a number above 0, up to 1000000");
    }
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("there is no flag --", name));
}

absl::StatusOr<Workload> ParseWorkload(absl::string_view word) {
  if (word == "serve") return Workload::kServe;
  if (word == "bulk") return Workload::kBulk;
  if (word == "connect") return Workload::kConnect;
  if (word == "request") return Workload::kRequest;
  if (word == "hold") return Workload::kHold;
  return absl::InvalidArgumentError(
      absl::StrCat(word, " is none of serve, bulk, connect, request, hold"));
}

// What the workload cannot do without.
absl::Status CheckComplete(const Options& options) {
  if (options.workload == Workload::kServe) {
    if (options.echo_port == 0 || options.bulk_port == 0) {
      return absl::InvalidArgumentError("serve needs --echo_port and --bulk_port");
    }
    return absl::OkStatus();
  }
  if (options.to.port() == 0) return absl::InvalidArgumentError("a client needs --to=IP:PORT");
  if (options.workload == Workload::kBulk &&
      options.bytes < static_cast<uint64_t>(options.connections)) {
    return absl::InvalidArgumentError("bulk needs --bytes, at least one for each connection");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Options> ParseOptions(const std::vector<absl::string_view>& words) {
  if (words.empty()) return absl::InvalidArgumentError("no workload; see --help");
  Options options;
  ASSIGN_OR_RETURN(options.workload, ParseWorkload(words.front()));
  for (size_t i = 1; i < words.size(); ++i) {
    absl::string_view word = words[i];
    const size_t equals = word.find('=');
    if (word.substr(0, 2) != "--" || equals == absl::string_view::npos) {
      return absl::InvalidArgumentError(absl::StrCat(word, " is not of the form --name=value"));
    }
    RETURN_IF_ERROR(ParseFlag(word.substr(2, equals - 2), word.substr(equals + 1), &options));
  }
  RETURN_IF_ERROR(CheckComplete(options));
  return options;
}

std::string Usage() {
  return R"(Makes load for test/bench and measures what it meets. Prints one line of JSON.

  load serve --echo_port=PORT --bulk_port=PORT
      answers what the others ask, until it is ended
  load bulk --to=IP:PORT --bytes=N [--direction=up|down] [--connections=N]
      carries N bytes over all connections together, after an eighth of it that is not measured
  load connect --to=IP:PORT [--connections=N] [--size=BYTES] [--window=1s] [--warm_up=200ms]
      so many at a time: connect, a question of so many bytes, its answer, close
  load request --to=IP:PORT [--connections=N] [--size=BYTES] [--rate=PER_SECOND] [--window=1s] [--warm_up=200ms]
      questions and answers on connections that last, one after the other or at a fixed rate,
      where a latency counts from when the question was due
  load hold --to=IP:PORT --connections=N
      opens connections, says so, and keeps them until it is ended

All but serve and hold: --cpu_of=PID,PID reports the CPU time of processes over the window.
)";
}

}  // namespace byrnie::load
