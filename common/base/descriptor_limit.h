#ifndef BYRNIE_COMMON_BASE_DESCRIPTOR_LIMIT_H_
#define BYRNIE_COMMON_BASE_DESCRIPTOR_LIMIT_H_

#include <cstddef>

namespace byrnie {

// Lets this process have as many descriptors as the system lets its user have: shells and service
// managers start with far fewer, and connections are descriptors. Does nothing where it may not.
void RaiseDescriptorLimit();

// How many descriptors this process may have.
size_t DescriptorLimit();

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_DESCRIPTOR_LIMIT_H_
