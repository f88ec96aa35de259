#include "common/grpc/library_log.h"

#include <atomic>

#include "grpc/support/log.h"

namespace byrnie {
namespace {

// The library's hook is a plain function, so its target cannot be passed in.
std::atomic<Logger*> target{nullptr};

void Forward(gpr_log_func_args* args) {
  Logger* const logger = target.load();
  if (logger == nullptr) return;
  logger->Debug("grpc library",
                {{"file", args->file}, {"line", args->line}, {"text", args->message}});
}

}  // namespace

void RouteGrpcLog(Logger* logger) {
  target.store(logger);
  gpr_set_log_function(&Forward);
}

}  // namespace byrnie
