#ifndef BYRNIE_COMMON_IDENTITY_TRUST_FILES_H_
#define BYRNIE_COMMON_IDENTITY_TRUST_FILES_H_

#include <functional>
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
// begin later, ones older than the newest in force of the same root (of the same name, where no
// root has signed them), ones that have a root's name without one that it has signed, and lists of
// which no root has signed one, or which a Judge is against. They are judged with those of other
// files that come at the same moment, so that those that are good only together are taken together,
// whatever is wrong with another one, and again as time passes, and as roots and files change. What
// there is at the start is in force whatever it is, because without it nothing would be refused;
// and what is wrong with it is named.
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

  // Whether these may be all the lists of a trust domain; not OK: why not.
  using Judge = std::function<absl::Status(const std::vector<RevocationListPtr>&)>;
  // Of a trust domain of which somebody knows what is in use: asked from now on by Poll and
  // SetRoots, in place of the rule that one of its roots has to have signed one.
  void SetJudge(const std::string& trust_domain, Judge judge);
  // The roots of a trust domain that no bundle file is about, by which its lists are judged from
  // now on; does nothing where they are the same. Those in force stay when they are not good by
  // them: the error says why, InvalidArgument or as the judge has it.
  absl::Status SetRoots(const std::string& trust_domain, std::vector<CertificatePtr> roots);

  // Looks at the files, about twice a second; true when what they say has changed.
  bool Poll();

  // `base` with the trust domains and revocation lists of the files. Lists of a trust domain that
  // is not trusted are left out. InvalidArgument as TrustBundleSet::Create, and when a file is
  // about a trust domain that `base` has.
  absl::StatusOr<TrustBundleSet> AddTo(const TrustBundleSet& base) const;
  // The lists of the files.
  RevocationListMap RevocationLists() const;
  std::vector<RevocationListPtr> RevocationListsOf(const std::string& trust_domain) const;
  // Why each file that is not in force as it is now is not.
  std::vector<std::string> Rejected() const;
  // What is wrong with lists that are in force, so that certificates are refused by them.
  std::vector<std::string> WrongInForce() const;

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
    std::vector<RevocationListPtr> waiting;
    // Of the latest reading, and what is wrong with the lists in force.
    absl::Status status, in_force;
    // Of the latest Poll: whether the file was read, and something else is in force.
    bool read = false, changed = false;
    // The status that was logged last.
    absl::Status told;
    // By which those in force were judged.
    std::vector<CertificatePtr> judged_by;
  };

  TrustFiles(Options options, Logger* log, MetricRegistry* metrics);
  void ReadIfChanged(Watched* watched);
  // True when a bundle is another one than before. Lists wait.
  absl::StatusOr<bool> Load(bool first_time, Watched* watched) const;
  absl::Status LoadLists(Watched* watched) const;
  // Takes the lists that wait and are good into force.
  void TakeWaiting();
  // Takes those of `files`, of one trust domain, into force; not OK: why not.
  absl::Status Take(const std::vector<Watched*>& files);
  // Takes those of `files` that are good together, where none is alone.
  void TakeTogether(std::vector<Watched*> files);
  absl::Status MayTake(const std::vector<Watched*>& files) const;
  // Of MayTake what hangs on when lists are of.
  absl::Status CheckTimes(const std::vector<Watched*>& files) const;
  // All lists of the trust domain, were those of `files` in force.
  std::vector<RevocationListPtr> ListsWith(const std::vector<Watched*>& files) const;
  // Logs and counts what has come of the latest look.
  void Tell(Watched* watched);
  // Says what is wrong with the lists in force, or that nothing is any more.
  void JudgeInForce(Watched* watched);
  std::vector<CertificatePtr> RootsOf(const std::string& trust_domain) const;
  // Whether `lists` may be all those of the trust domain, by its roots.
  absl::Status CheckSigners(const std::string& trust_domain,
                            const std::vector<RevocationListPtr>& lists) const;
  // `status` of the first reading, for whoever gave the flag.
  static absl::Status Refusal(const Watched& watched, const absl::Status& status);
  void ShowAges();

  std::vector<Watched> files_;
  // Both by trust domain.
  std::map<std::string, std::vector<CertificatePtr>> other_roots_;
  std::map<std::string, Judge> judges_;
  Logger* const log_;         // Not owned.
  const Clock* const clock_;  // Not owned; may be null.
  Counter* const reads_ok_;
  Counter* const reads_rejected_;
  Gauge* const crl_this_update_;
  Gauge* const crl_next_update_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_IDENTITY_TRUST_FILES_H_
