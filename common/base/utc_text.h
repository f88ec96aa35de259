#ifndef BYRNIE_COMMON_BASE_UTC_TEXT_H_
#define BYRNIE_COMMON_BASE_UTC_TEXT_H_

#include <string>

#include "absl/time/time.h"

namespace byrnie {

// How every log line, page, answer and error says when: RFC 3339, to the second (rounded down), in
// UTC with the letter Z ("2026-11-27T08:42:54Z"). Infinite times are absl's "infinite-future" and
// "infinite-past".
std::string UtcText(absl::Time time);
// To the millisecond, for what is written in the order it happened ("2026-11-27T08:42:54.120Z").
std::string UtcMillisText(absl::Time time);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_UTC_TEXT_H_
