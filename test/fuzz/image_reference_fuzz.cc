// References of images, of the injector's configuration and of annotations: whoever makes pods
// writes them.

#include <string>

#include "common/base/check.h"
#include "deploy/injector/image_reference.h"
#include "test/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (!byrnie::CheckImageReference(text).ok()) return 0;
  // Nothing that a shell, YAML or the kubelet's expansion would see something in.
  CHECK(text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "./:@_-+[]") == std::string::npos);
  // A digest can be added to what has none.
  if (text.find('@') == std::string::npos) {
    CHECK(byrnie::CheckImageReference(text + "@sha256:" + std::string(64, 'a')).ok());
  }
  return 0;
}

namespace byrnie {

std::vector<std::string> FuzzSeeds() {
  return {"byrnie:0.1.0", "registry.example:5000/a/b__c:V1_x@sha256:" + std::string(64, '0'),
          "[fd00::1]:5000/byrnie", "localhost/a-b.c"};
}

}  // namespace byrnie
