#include "proxy/access_report.h"

namespace byrnie {

void ReportOpen(const WorkerContext& context, const AccessRecord& record) {
  if (context.config->access_log == AccessLog::kOpenClose) {
    context.logger->WriteRaw(ToJson(record));
  }
}

void ReportEnd(const WorkerContext& context, const AccessRecord& record) {
  context.metrics->CountEnd(record.direction, record.result, record.reason);
  context.metrics->ObserveStages(record.direction, record.stages);
  if (context.recorder != nullptr) context.recorder->Add(record);
  if (context.config->access_log != AccessLog::kOff) context.logger->WriteRaw(ToJson(record));
}

}  // namespace byrnie
