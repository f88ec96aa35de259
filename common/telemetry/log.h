#ifndef BYRNIE_COMMON_TELEMETRY_LOG_H_
#define BYRNIE_COMMON_TELEMETRY_LOG_H_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/variant.h"

namespace byrnie {

enum class LogLevel { kError = 0, kWarning = 1, kInfo = 2, kDebug = 3 };

// "error", "warning", "info", "debug". InvalidArgument lists them.
absl::StatusOr<LogLevel> ParseLogLevel(absl::string_view text);
absl::string_view LogLevelName(LogLevel level);

// One structured field. Never give it a key, a token or application bytes.
struct LogField {
  LogField(absl::string_view name, absl::string_view value)
      : name(name), value(std::string(value)) {}
  LogField(absl::string_view name, const char* value) : name(name), value(std::string(value)) {}
  LogField(absl::string_view name, int64_t value) : name(name), value(value) {}
  LogField(absl::string_view name, uint64_t value)
      : name(name), value(static_cast<int64_t>(value)) {}
  LogField(absl::string_view name, uint32_t value)
      : name(name), value(static_cast<int64_t>(value)) {}
  LogField(absl::string_view name, int value) : name(name), value(static_cast<int64_t>(value)) {}
  LogField(absl::string_view name, bool value) : name(name), value(value) {}
  LogField(absl::string_view name, double value) : name(name), value(value) {}
  absl::string_view name;
  absl::variant<std::string, int64_t, bool, double> value;
};

// Writes the process's log: one line per event, JSON or text, each of up to PIPE_BUF
// bytes with one write(2). Thread-safe.
// Never blocks the caller on a slow reader for more than one line: when the descriptor would block,
// or nobody reads it any more, the line is dropped and counted. Control characters and invalid
// UTF-8 are escaped in both formats, so that no value can end a line or speak to a terminal; values
// are cut at kMaxValueSize.
//
// JSON lines have "time" (RFC 3339, UTC), "level", "message", then the fields; fields do not use
// those names.
class Logger {
 public:
  enum class Format { kText, kJson };
  // Bytes of a message or of the value of a field; the rest is replaced by "...".
  static constexpr size_t kMaxValueSize = 1024;

  // `fd` is borrowed; tests give a pipe or file.
  Logger(int fd, Format format, LogLevel level);
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  void set_level(LogLevel level);
  LogLevel level() const;
  bool enabled(LogLevel level) const;

  // `message` is a short constant sentence, lower case, without a full stop; what varies goes into
  // fields.
  void Log(LogLevel level, absl::string_view message, std::initializer_list<LogField> fields = {});
  void Error(absl::string_view message, std::initializer_list<LogField> fields = {}) {
    Log(LogLevel::kError, message, fields);
  }
  void Warning(absl::string_view message, std::initializer_list<LogField> fields = {}) {
    Log(LogLevel::kWarning, message, fields);
  }
  void Info(absl::string_view message, std::initializer_list<LogField> fields = {}) {
    Log(LogLevel::kInfo, message, fields);
  }
  void Debug(absl::string_view message, std::initializer_list<LogField> fields = {}) {
    Log(LogLevel::kDebug, message, fields);
  }
  // A line that is already JSON (the access log), without its line end; written whatever the level.
  void WriteRaw(absl::string_view line);
  // Lines that were not written, or only in part.
  uint64_t dropped_lines() const;

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TELEMETRY_LOG_H_
