#ifndef BYRNIE_DEPLOY_INJECTOR_ANNOTATIONS_H_
#define BYRNIE_DEPLOY_INJECTOR_ANNOTATIONS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "deploy/injector/json.h"

namespace byrnie {

// What all labels and annotations of ours begin with.
inline constexpr absl::string_view kAnnotationPrefix = "byrnie.io/";

// Of an object's annotations, names and values together: the API server's own limit.
inline constexpr size_t kMaxAnnotations = 256 * 1024;
// Of a list within an annotation, and of one of its items. All else is shorter than
// kMaxAnnotationText.
inline constexpr size_t kMaxListItems = 1000;
inline constexpr size_t kMaxListItem = 64;
inline constexpr size_t kMaxAnnotationText = 1024;

// InvalidArgument for annotations that are longer than that together. The API server takes them of
// nobody, but looks only once nobody changes them any more.
absl::Status CheckAnnotationsSize(const Json& annotations);

// The injector's own marks.
inline constexpr absl::string_view kInjectAnnotation = "byrnie.io/inject";
inline constexpr absl::string_view kStatusAnnotation = "byrnie.io/status";
// Of a pod that the webhook could not mesh: why.
inline constexpr absl::string_view kNotInjectedAnnotation = "byrnie.io/not-injected";
inline constexpr absl::string_view kRevisionLabel = "byrnie.io/rev";

// The containers it adds.
enum class Sidecar { kAgent, kProxy, kRedirect };

// One annotation of a pod, and what it comes to. docs/kubernetes.md has them all; a test compares.
struct Annotation {
  enum class Kind {
    kWord,        // One of `limits`, separated by |.
    kPorts,       // Ports: 80,8080.
    kPortRanges,  // Ports and ranges of them.
    kPortModes,   // 8080=permissive.
    kCidrs,       // Networks.
    kUsers,       // Numbers of users or groups, and ranges of them.
    kInterfaces,  // Names.
    kDuration,    // Within `limits`, LEAST..MOST; 0 is in it where it says "0|".
    kNumber,      // Within `limits`, LEAST..MOST.
    kQuantity,    // Of CPU or memory as Kubernetes writes it, or none.
    kImage,       // Of a container.
  };
  // Without kAnnotationPrefix.
  absl::string_view name;
  Kind kind;
  absl::string_view limits;
  // The containers that are given the flag of this name, with _ for -.
  bool agent, proxy, redirect;
};

// All but byrnie.io/inject, in the order in which flags are given.
absl::Span<const Annotation> Annotations();

// What a pod's annotations say, over what the whole mesh's defaults do. A value.
class PodSettings {
 public:
  // `defaults` has the same names and values as annotations. InvalidArgument names the annotation,
  // its value, or how that begins, and what to write instead.
  static absl::StatusOr<PodSettings> Create(const Json& annotations,
                                            const std::map<std::string, std::string>& defaults);

  // By its name without the prefix; none where nobody says anything.
  absl::optional<std::string> Get(absl::string_view name) const;
  std::string GetOr(absl::string_view name, absl::string_view missing) const;
  absl::optional<absl::Duration> GetDuration(absl::string_view name) const;
  // The same with a default for what nobody says.
  void SetDefault(absl::string_view name, std::string value);

  // "--log_level=debug", of what is set.
  std::vector<std::string> FlagsFor(Sidecar sidecar) const;

  // Annotations with the prefix that nobody knows.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::map<std::string, std::string, std::less<>> values_;
  std::vector<std::string> warnings_;
};

// A Kubernetes quantity ("100m", "64Mi") as a number; none when it is none, or not above 0.
absl::optional<double> ParseQuantity(absl::string_view text);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_ANNOTATIONS_H_
