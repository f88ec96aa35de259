#ifndef BYRNIE_CONTROLPLANE_AGENTS_CERTIFICATE_HOLDERS_H_
#define BYRNIE_CONTROLPLANE_AGENTS_CERTIFICATE_HOLDERS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace byrnie {

// Which certificates somebody may hold: those issued, or shown by somebody, that have not ended,
// but for ones whose holder has the one that replaced it in force: an agent shows a certificate as
// soon as it has it, and its proxy may then still use the one before. Thread-safe.
class CertificateHolders {
 public:
  struct Certificate {
    std::string serial;
    // The SPIFFE ID.
    std::string id;
    // The id of its root.
    std::string root;
    // InfinitePast: not known.
    absl::Time issued_at, not_after;
    // The newest version of the trust bundles that its holder has acknowledged, with it or with one
    // that it replaced.
    uint64_t acknowledged = 0;
    // The id of the newest root of the trust domain that came with it; empty: not known.
    std::string newest_root = "";
    // The serial of the one that its holder asked for it with and may still use; empty: there is
    // none.
    std::string replaces = "";
  };

  // `replaces` is the serial of the certificate its holder asked with; empty: with none. What is
  // known already is not new: all since some time may be told again, in the order of time.
  // `replaces` of the certificate does not count.
  void OnIssued(const Certificate& certificate, const std::string& replaces);
  // It was not handed out after all, and nobody holds it.
  void OnWithheld(const std::string& serial);
  // Its holder has it. One that is not known, of an earlier process perhaps, is from then on;
  // `issued_at` and `newest_root` do not count.
  void OnShown(const Certificate& certificate);
  // Its holder has it in force, with that version of the trust bundles: what it replaced is in
  // nobody's hands any more.
  void OnAcknowledged(const std::string& serial, uint64_t version);

  // Drops those that have ended, at most once a minute. Gates of a rotation do not wait for them
  // any more: `now` is the time that these go by (RootRotation::GateTime).
  void ForgetEnded(absl::Time now);

  // Those that are valid at `now`, in no order.
  std::vector<Certificate> List(absl::Time now) const;
  size_t size() const;

 private:
  struct Entry {
    std::string id, replaces;
    uint32_t root = 0, newest_root = 0;  // In roots_.
    absl::Time issued_at, not_after;
    uint64_t acknowledged = 0;
  };
  uint32_t RootIndex(const std::string& root) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // And what it replaced in its turn.
  void Forget(std::string serial) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Entry EntryOf(const Certificate& certificate) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // With those that it replaced.
  uint64_t AcknowledgedBy(const Entry& entry) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, Entry> by_serial_ ABSL_GUARDED_BY(mu_);
  // Few: a rotation adds one.
  std::vector<std::string> roots_ ABSL_GUARDED_BY(mu_);
  absl::Time swept_at_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AGENTS_CERTIFICATE_HOLDERS_H_
