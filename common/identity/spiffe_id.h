#ifndef BYRNIE_COMMON_IDENTITY_SPIFFE_ID_H_
#define BYRNIE_COMMON_IDENTITY_SPIFFE_ID_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// A SPIFFE ID of a workload (SPIFFE-ID.md section 2), strict: what does not follow the standard to
// the letter is no ID. An object that exists is valid and has a path. A value.
class SpiffeId {
 public:
  static constexpr size_t kMaxLength = 2048;
  static constexpr size_t kMaxTrustDomainLength = 255;

  // Parses "spiffe://trust-domain/path". InvalidArgument says what is wrong, and quotes at most the
  // first 128 bytes.
  static absl::StatusOr<SpiffeId> Parse(absl::string_view text);
  // InvalidArgument unless `name` is [a-z0-9._-]{1,255}.
  static absl::Status CheckTrustDomain(absl::string_view name);

  const std::string& text() const { return text_; }
  absl::string_view trust_domain() const;
  // Starts with '/'.
  absl::string_view path() const;

  // Kubernetes' convention "/ns/NAMESPACE/sa/ACCOUNT"; empty when the path is not of that shape.
  absl::string_view k8s_namespace() const;
  absl::string_view k8s_service_account() const;

  friend bool operator==(const SpiffeId& a, const SpiffeId& b) { return a.text_ == b.text_; }
  friend bool operator!=(const SpiffeId& a, const SpiffeId& b) { return !(a == b); }
  friend bool operator<(const SpiffeId& a, const SpiffeId& b) { return a.text_ < b.text_; }
  template <typename H>
  friend H AbslHashValue(H h, const SpiffeId& id) {
    return H::combine(std::move(h), id.text_);
  }

 private:
  SpiffeId(std::string text, size_t path_offset)
      : text_(std::move(text)), path_offset_(path_offset) {}
  std::string text_;
  size_t path_offset_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_IDENTITY_SPIFFE_ID_H_
