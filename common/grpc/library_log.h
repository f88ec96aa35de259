#ifndef BYRNIE_COMMON_GRPC_LIBRARY_LOG_H_
#define BYRNIE_COMMON_GRPC_LIBRARY_LOG_H_

#include "common/telemetry/log.h"

namespace byrnie {

// The gRPC library writes to stderr whatever it finds remarkable, such as every server certificate
// without the host's name, which SVIDs never have; and protobuf's, beneath it, a line for every
// message with text that is not UTF-8, which any caller may send. Sends what they say to `logger`
// at level debug instead, or, where it is null, nowhere. What matters of it comes back as the
// status of a call. Called by main before anything of gRPC; the logger outlives the process's use
// of gRPC.
void RouteGrpcLog(Logger* logger);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_GRPC_LIBRARY_LOG_H_
