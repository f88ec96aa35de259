#ifndef BYRNIE_PROXY_ACCESS_REPORT_H_
#define BYRNIE_PROXY_ACCESS_REPORT_H_

#include "proxy/access_record.h"
#include "proxy/worker_context.h"

namespace byrnie {

// Where what is known of a connection goes: the one place through which each beginning and end
// passes, so that logs, metrics and the flight recorder tell the same. On the worker's loop.

// A connection begins to be carried: its line in the log, where beginnings are logged.
void ReportOpen(const WorkerContext& context, const AccessRecord& record);
// A connection that was counted as opened has ended, or was refused: counted by reason and stage,
// recorded, logged. Does not touch the gauge of those open.
void ReportEnd(const WorkerContext& context, const AccessRecord& record);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_ACCESS_REPORT_H_
