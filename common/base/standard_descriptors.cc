#include "common/base/standard_descriptors.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base/check.h"

namespace byrnie {

void OpenStandardDescriptors() {
  // Ascending: open takes the lowest number that is free.
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) < 0) CHECK(open("/dev/null", O_RDWR) == fd);
  }
}

}  // namespace byrnie
