#include "common/grpc/library_log.h"

#include <atomic>
#include <string>

#include "google/protobuf/stubs/logging.h"
#include "grpc/support/log.h"

namespace byrnie {
namespace {

// The libraries' hooks are plain functions, so their target cannot be passed in.
std::atomic<Logger*> target{nullptr};

void Forward(gpr_log_func_args* args) {
  Logger* const logger = target.load();
  if (logger == nullptr) return;
  logger->Debug("grpc library",
                {{"file", args->file}, {"line", args->line}, {"text", args->message}});
}

void ForwardProtobuf(google::protobuf::LogLevel, const char* file, int line,
                     const std::string& message) {
  Logger* const logger = target.load();
  if (logger == nullptr) return;
  logger->Debug("protobuf library", {{"file", file}, {"line", line}, {"text", message}});
}

}  // namespace

void RouteGrpcLog(Logger* logger) {
  target.store(logger);
  gpr_set_log_function(&Forward);
  // Once: unlike the other this hook is not to be set while threads use the library.
  static google::protobuf::LogHandler* const before =
      google::protobuf::SetLogHandler(&ForwardProtobuf);
  (void)before;
}

}  // namespace byrnie
