#ifndef BYRNIE_CONTROLPLANE_AUDIT_ISSUANCE_RECORD_H_
#define BYRNIE_CONTROLPLANE_AUDIT_ISSUANCE_RECORD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace byrnie {

// The proof of a certificate that a control plane has issued to itself, or to its webhook.
inline constexpr char kOwnProof[] = "own";
// The proof of an entry of the log that cannot be read: of it nothing is known but when it was
// issued and its serial. What it replaced it may still say, or something else instead.
inline constexpr char kUnreadableProof[] = "unreadable";

// One certificate or JWT-SVID that was issued: to whom, on what proof, and when. Nothing of it is
// secret.
struct IssuanceRecord {
  absl::Time issued_at;
  // As Certificate::SerialHex; of a JWT-SVID, the first 32 digits of the token's SHA-256. Unique.
  std::string serial;
  // The SPIFFE ID it is for.
  std::string identity;
  // How the caller proved to be that: "svid", "join_token", "jwt:ISSUER"; or kOwnProof or
  // kUnreadableProof.
  std::string proof;
  // What the proof says of its holder; may be empty.
  std::string subject;
  // In which protocol it was asked for.
  std::string protocol;
  // Where from, "ip:port".
  std::string address;
  // The id of its root; of a JWT-SVID, empty.
  std::string root;
  absl::Time not_after;
  // The serial of the certificate it replaces; empty for a first one.
  std::string replaces;
  // The id of the newest root of the trust domain that its holder got with it; empty: not known.
  std::string newest_root;
  // Whom a JWT-SVID is for; empty: it is a certificate.
  std::vector<std::string> audience;
};

// Where issuances are kept, in the order of their time. Thread-safe; blocks.
class IssuanceStore {
 public:
  // Most of one Append.
  static constexpr size_t kMaxBatch = 100;

  struct Page {
    std::vector<IssuanceRecord> records;
    // Of the last one, to go on after; empty: there are no more.
    std::string next;
  };

  virtual ~IssuanceStore() = default;

  // All of them, durably, or none. Adding one that is there changes nothing.
  virtual absl::Status Append(const std::vector<IssuanceRecord>& records) = 0;
  // Up to `limit` of those issued from `since` on, or after `after`, a Page::next, where that is
  // not empty.
  virtual absl::StatusOr<Page> Read(absl::Time since, const std::string& after, int limit) = 0;
  struct Trimmed {
    // There are more to delete.
    bool more = false;
    // Of those deleted that were not issued before `before`, when the newest was. Where nothing was
    // deleted and there are `most` and more, when the oldest was issued that is left: earlier ones
    // were deleted before, by this process or by another. Else the infinite past.
    absl::Time cut_to = absl::InfinitePast();
  };
  // Deletes some of those issued before `before`, and of the oldest, as long as they were issued
  // before `keep_from`, until `most` are left.
  virtual absl::StatusOr<Trimmed> Trim(absl::Time before, int64_t most, absl::Time keep_from) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AUDIT_ISSUANCE_RECORD_H_
