#include "common/telemetry/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "common/base/utc_text.h"
#include "common/telemetry/json_text.h"

namespace byrnie {
namespace {

// Cuts at a byte; a UTF-8 sequence cut in two is escaped as invalid.
std::string Cut(absl::string_view text) {
  if (text.size() <= Logger::kMaxValueSize) return std::string(text);
  return absl::StrCat(text.substr(0, Logger::kMaxValueSize), "...");
}

// True when the value would be ambiguous in "name=value name=value" without quotes.
bool NeedsQuotes(absl::string_view value) {
  if (value.empty()) return true;
  for (const char c : value) {
    if (!absl::ascii_isgraph(static_cast<unsigned char>(c)) || c == '"' || c == '\\' || c == '=') {
      return true;
    }
  }
  return false;
}

void AppendTextValue(absl::string_view value, std::string* out) {
  if (!NeedsQuotes(value)) {
    absl::StrAppend(out, value);
    return;
  }
  out->push_back('"');
  AppendJsonEscaped(value, out);
  out->push_back('"');
}

std::string FormatText(LogLevel level, absl::string_view message,
                       std::initializer_list<LogField> fields) {
  std::string line = absl::StrFormat("%s %-7s ", UtcMillisText(absl::Now()), LogLevelName(level));
  AppendJsonEscaped(Cut(message), &line);
  for (const LogField& field : fields) {
    absl::StrAppend(&line, " ", field.name, "=");
    if (const auto* text = absl::get_if<std::string>(&field.value)) {
      AppendTextValue(Cut(*text), &line);
    } else if (const auto* integer = absl::get_if<int64_t>(&field.value)) {
      absl::StrAppend(&line, *integer);
    } else if (const auto* boolean = absl::get_if<bool>(&field.value)) {
      absl::StrAppend(&line, *boolean ? "true" : "false");
    } else if (const auto* real = absl::get_if<double>(&field.value)) {
      absl::StrAppendFormat(&line, "%.15g", *real);
    }
  }
  return line;
}

std::string FormatJson(LogLevel level, absl::string_view message,
                       std::initializer_list<LogField> fields) {
  JsonLine line;
  line.Add("time", UtcMillisText(absl::Now()))
      .Add("level", LogLevelName(level))
      .Add("message", Cut(message));
  for (const LogField& field : fields) {
    if (const auto* text = absl::get_if<std::string>(&field.value)) {
      line.Add(field.name, Cut(*text));
    } else if (const auto* integer = absl::get_if<int64_t>(&field.value)) {
      line.Add(field.name, *integer);
    } else if (const auto* boolean = absl::get_if<bool>(&field.value)) {
      line.Add(field.name, *boolean);
    } else if (const auto* real = absl::get_if<double>(&field.value)) {
      line.Add(field.name, *real);
    }
  }
  return line.Finish();
}

// Whether a write of up to PIPE_BUF bytes goes through at once. Asking is better than O_NONBLOCK,
// which would change the descriptor for every process that shares it, for example the shell stderr
// belongs to.
bool WritableNow(int fd) {
  pollfd entry = {fd, POLLOUT, 0};
  int ready;
  do {
    ready = poll(&entry, 1, 0);
  } while (ready < 0 && errno == EINTR);
  // POLLERR: the reader is gone, and a write would raise SIGPIPE.
  return ready == 1 && (entry.revents & (POLLERR | POLLNVAL)) == 0;
}

}  // namespace

absl::StatusOr<LogLevel> ParseLogLevel(absl::string_view text) {
  for (const LogLevel level :
       {LogLevel::kError, LogLevel::kWarning, LogLevel::kInfo, LogLevel::kDebug}) {
    if (text == LogLevelName(level)) return level;
  }
  return absl::InvalidArgumentError(absl::StrCat("log level \"", text.substr(0, 32),
                                                 "\" is not one of error, warning, info, debug"));
}

absl::string_view LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return "error";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kDebug:
      return "debug";
  }
  return "unknown";
}

struct Logger::State {
  State(int fd, Format format, LogLevel level) : fd(fd), format(format), level(level) {}

  const int fd;
  const Format format;
  std::atomic<LogLevel> level;
  std::atomic<uint64_t> dropped{0};
  absl::Mutex mutex;
  // The last write ended inside a line; the next one begins by ending it.
  bool torn ABSL_GUARDED_BY(mutex) = false;

  void Write(std::string line) ABSL_LOCKS_EXCLUDED(mutex) {
    line.push_back('\n');
    absl::MutexLock lock(&mutex);
    if (!WritableNow(fd)) {
      dropped.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    if (torn) line.insert(line.begin(), '\n');
    absl::string_view rest = line;
    do {
      // A pipe that is ready takes so much at once; of more, a write may wait for the reader.
      const ssize_t written = write(fd, rest.data(), std::min<size_t>(rest.size(), PIPE_BUF));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) break;
      rest.remove_prefix(static_cast<size_t>(written));
    } while (!rest.empty() && WritableNow(fd));
    if (rest.size() < line.size()) torn = !rest.empty();
    if (!rest.empty()) dropped.fetch_add(1, std::memory_order_relaxed);
  }
};

Logger::Logger(int fd, Format format, LogLevel level)
    : state_(std::make_unique<State>(fd, format, level)) {}

Logger::~Logger() = default;

void Logger::set_level(LogLevel level) { state_->level.store(level, std::memory_order_relaxed); }

LogLevel Logger::level() const { return state_->level.load(std::memory_order_relaxed); }

bool Logger::enabled(LogLevel level) const { return level <= this->level(); }

void Logger::Log(LogLevel level, absl::string_view message,
                 std::initializer_list<LogField> fields) {
  if (!enabled(level)) return;
  state_->Write(state_->format == Format::kJson ? FormatJson(level, message, fields)
                                                : FormatText(level, message, fields));
}

void Logger::WriteRaw(absl::string_view line) { state_->Write(std::string(line)); }

uint64_t Logger::dropped_lines() const { return state_->dropped.load(std::memory_order_relaxed); }

}  // namespace byrnie
