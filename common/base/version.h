#ifndef BYRNIE_COMMON_BASE_VERSION_H_
#define BYRNIE_COMMON_BASE_VERSION_H_

namespace byrnie {

// The release this source is, as --version and the admin pages show it.
inline constexpr char kRelease[] = "0.1.0";

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_VERSION_H_
