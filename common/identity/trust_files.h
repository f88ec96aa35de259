#ifndef BYRNIE_COMMON_IDENTITY_TRUST_FILES_H_
#define BYRNIE_COMMON_IDENTITY_TRUST_FILES_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/base/file_fingerprint.h"
#include "common/identity/trust_bundle.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// Files with trust bundles of other trust domains and with revocation lists, which may change at
// any time. Lives on one thread; reads the disk. The pointers outlive it.
//
// A file that cannot be read or is invalid, or a bundle whose roots have all expired, is logged and
// counted once, and what was in force stays in force: an unreadable file is no decision. A trust
// domain is withdrawn by emptying its bundle file (white space alone), and only when two looks in a
// row have found it so, because a file that is just being written is empty for a moment. An emptied
// file of revocation lists is an invalid one: lists end by their nextUpdate.
//
// With lists in force every certificate needs one of its issuer. So lists that would have all of a
// trust domain refused, or would take a revocation back, do not replace those in force: ones that
// begin later, ones older than the newest of their issuer in force, ones that have a root's name
// without one that it has signed, and lists of which no root has signed one. They are judged again
// as time passes, and as roots and other files change. What there is at the start is in force
// whatever it is, because without it nothing would be refused; and what is wrong with it is named.
class TrustFiles {
 public:
  // Which trust domain a file is about.
  struct File {
    std::string trust_domain;
    std::string path;
  };
  struct Options {
    std::vector<File> bundles;  // PEM certificates.
    std::vector<File> crls;     // PEM or DER.
    // "byrnie_certagent": in front of the names of metrics.
    std::string metrics_prefix;
    // Judges whether lists have begun, and the roots of a bundle have expired. Null: nobody does.
    // Not owned.
    const Clock* clock = nullptr;
  };

  // Reads "TRUST_DOMAIN=FILE,...", as the flags have it; FILE alone is of `default_trust_domain`
  // where that is not empty. InvalidArgument says which part is wrong.
  static absl::StatusOr<std::vector<File>> ParseFlag(absl::string_view text,
                                                     absl::string_view default_trust_domain);

  // Reads all files for the first time. NotFound, InvalidArgument and the like name the flag
  // (--federated_bundle or --crl), the file and what to do. A bundle file may be empty: its trust
  // domain is not trusted yet.
  static absl::StatusOr<std::unique_ptr<TrustFiles>> Create(Options options, Logger* log,
                                                            MetricRegistry* metrics);
  TrustFiles(const TrustFiles&) = delete;
  TrustFiles& operator=(const TrustFiles&) = delete;
  ~TrustFiles();

  // The roots of a trust domain that no bundle file is about, by which its lists are judged from
  // now on. With `lists_needed` some root has to have signed one of them; else others are published
  // beside them. InvalidArgument: those in force are not good by them, and stay.
  absl::Status SetRoots(const std::string& trust_domain, std::vector<CertificatePtr> roots,
                        bool lists_needed);

  // Looks at the files, about twice a second; true when what they say has changed.
  bool Poll();

  // `base` with the trust domains and revocation lists of the files. Lists of a trust domain that
  // is not trusted are left out. InvalidArgument as TrustBundleSet::Create, and when a file is
  // about a trust domain that `base` has.
  absl::StatusOr<TrustBundleSet> AddTo(const TrustBundleSet& base) const;
  // The lists of the files.
  RevocationListMap RevocationLists() const;
  std::vector<RevocationListPtr> RevocationListsOf(const std::string& trust_domain) const;
  // Why each file that is not in force as it is now is not, and what is wrong with one that is.
  std::vector<std::string> Rejected() const;

 private:
  enum class Kind { kBundle, kCrl };
  struct Watched {
    Kind kind;
    File file;
    absl::optional<FileFingerprint> seen;
    // Found empty by the latest look, and not believed yet.
    bool doubted = false;
    std::vector<CertificatePtr> roots;
    std::vector<RevocationListPtr> crls;
    // What the file says and is not in force: it may become good.
    std::vector<RevocationListPtr> refused;
    // Of the latest reading, and what is wrong with the lists in force.
    absl::Status status, in_force;
    // By which those in force were judged.
    std::vector<CertificatePtr> judged_by;
  };

  TrustFiles(Options options, Logger* log, MetricRegistry* metrics);
  bool PollOne(Watched* watched);
  // True when it says something else than before.
  absl::StatusOr<bool> Load(bool first_time, Watched* watched) const;
  absl::StatusOr<bool> LoadLists(bool first_time, Watched* watched) const;
  // Judges lists anew, of a file that has not changed; true when what is in force has.
  bool JudgeAgain(Watched* watched);
  // What certificates are refused by, of the lists in force.
  absl::Status WrongInForce(const Watched& watched) const;
  // Says what is wrong with the lists in force, or that nothing is any more.
  void JudgeInForce(Watched* watched);
  // Whether `lists` may replace those of `watched`.
  absl::Status MayReplace(const Watched& watched,
                          const std::vector<RevocationListPtr>& lists) const;
  std::vector<CertificatePtr> RootsOf(const std::string& trust_domain) const;
  // Whether `lists`, which are to be those of `watched`, go with the roots and with what the other
  // files of the trust domain have.
  absl::Status CheckSigners(const Watched& watched,
                            const std::vector<RevocationListPtr>& lists) const;
  // `status` of the first reading, for whoever gave the flag.
  static absl::Status Refusal(const Watched& watched, const absl::Status& status);
  void ShowAges();

  std::vector<Watched> files_;
  struct OtherRoots {
    std::vector<CertificatePtr> roots;
    bool lists_needed = true;
  };
  std::map<std::string, OtherRoots> other_roots_;
  Logger* const log_;         // Not owned.
  const Clock* const clock_;  // Not owned; may be null.
  Counter* const reads_ok_;
  Counter* const reads_rejected_;
  Gauge* const crl_this_update_;
  Gauge* const crl_next_update_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_IDENTITY_TRUST_FILES_H_
