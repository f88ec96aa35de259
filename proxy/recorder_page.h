#ifndef BYRNIE_PROXY_RECORDER_PAGE_H_
#define BYRNIE_PROXY_RECORDER_PAGE_H_

#include <string>
#include <vector>

#include "proxy/flight_recorder.h"

namespace byrnie {

// JSON: ended connections, the newest first, with the fields of the access log. `complete` is false
// when a worker did not answer in time. Pure.
std::string RenderRecorder(const std::vector<FlightRecorder::Entry>& entries, bool complete);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_RECORDER_PAGE_H_
