#ifndef BYRNIE_DEPLOY_INJECTOR_IMAGE_REFERENCE_H_
#define BYRNIE_DEPLOY_INJECTOR_IMAGE_REFERENCE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// InvalidArgument with what is wrong, unless `text` is what kubelets take as a container's image, a
// reference of distribution's grammar: [HOST[:PORT]/]PATH[:TAG][@DIGEST]. Any other ends as
// InvalidImageName, once the pod is there.
absl::Status CheckImageReference(absl::string_view text);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_IMAGE_REFERENCE_H_
