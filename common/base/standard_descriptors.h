#ifndef BYRNIE_COMMON_BASE_STANDARD_DESCRIPTORS_H_
#define BYRNIE_COMMON_BASE_STANDARD_DESCRIPTORS_H_

namespace byrnie {

// Opens /dev/null as each of standard input, output and error that the process was started without.
// Otherwise the next socket or file gets that number, and what is written for people goes there.
// Before anything is opened. Aborts where there is no /dev/null.
void OpenStandardDescriptors();

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_STANDARD_DESCRIPTORS_H_
