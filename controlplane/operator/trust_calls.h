#ifndef BYRNIE_CONTROLPLANE_OPERATOR_TRUST_CALLS_H_
#define BYRNIE_CONTROLPLANE_OPERATOR_TRUST_CALLS_H_

#include <cstddef>
#include <set>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "byrnie/operator/v1/trust.pb.h"
#include "common/base/clock.h"
#include "controlplane/audit/certificate_lineage.h"
#include "controlplane/audit/issuance_log.h"
#include "controlplane/audit/issuance_record.h"
#include "controlplane/ca/revocations.h"
#include "controlplane/explain/mesh_view.h"
#include "controlplane/trust/trust_keeper.h"

namespace byrnie {

// The methods of the operator's API about trust and issuances, for callers who may; `by` is who
// calls. Each is as the API says, errors included. Thread-safe; blocks on the store. The pointers
// outlive it.
class TrustCalls {
 public:
  TrustCalls(TrustKeeper* trust, const IssuanceLog* log, absl::Duration workload_ttl,
             const Clock* clock)
      : trust_(trust), log_(log), workload_ttl_(workload_ttl), clock_(clock) {}

  absl::Status GetTrust(const byrnie::operator_::v1::GetTrustRequest& request,
                        byrnie::operator_::v1::Trust* response) const;
  absl::Status RotateTrust(const std::string& by,
                           const byrnie::operator_::v1::RotateTrustRequest& request,
                           byrnie::operator_::v1::Trust* response) const;
  absl::Status RollbackTrust(const std::string& by,
                             const byrnie::operator_::v1::RollbackTrustRequest& request,
                             byrnie::operator_::v1::Trust* response) const;
  absl::Status ListIssuances(const byrnie::operator_::v1::ListIssuancesRequest& request,
                             byrnie::operator_::v1::ListIssuancesResponse* response) const;
  absl::Status ListRevocations(const byrnie::operator_::v1::ListRevocationsRequest& request,
                               byrnie::operator_::v1::ListRevocationsResponse* response) const;
  // `revoked` is how many certificates it has revoked that were not before, with an error, too.
  absl::Status RevokeCertificate(const std::string& by,
                                 const byrnie::operator_::v1::RevokeCertificateRequest& request,
                                 byrnie::operator_::v1::RevokeCertificateResponse* response,
                                 size_t* revoked) const;

  // By SPIFFE ID, the certificate that was issued last by any control plane of the store, of the
  // time of two lives. Errors as the log.
  absl::StatusOr<absl::flat_hash_map<std::string, IssuedCertificate>> NewestIssued() const;
  // No certificate of a workload lives longer.
  absl::Duration workload_ttl() const { return workload_ttl_; }
  // Serials of certificates that are revoked and have not ended.
  std::set<std::string> RevokedSerials() const;

 private:
  // Revokes one, and counts it where it was not revoked before. Errors as Revocations::Revoke.
  absl::Status RevokeOne(const RevokedCertificate& certificate, size_t* revoked) const;
  // Revokes what was issued on the proof of one that has been revoked.
  absl::Status RevokeRenewed(const RevokedCertificate& first, CertificateLineage* lineage,
                             byrnie::operator_::v1::RevokeCertificateResponse* response,
                             size_t* revoked) const;
  // Names what cannot be read and may be one of those.
  void NameDoubtful(const CertificateLineage& lineage, const RevokedCertificate& first,
                    byrnie::operator_::v1::RevokeCertificateResponse* response) const;
  // Of a certificate that may be valid now.
  absl::Duration LongestLife() const;
  // When that of an entry ends at the latest.
  absl::Time EndOf(const IssuanceRecord& record) const;
  absl::Status Rotate(const RootRotation::Request& request,
                      byrnie::operator_::v1::Trust* response) const;

  TrustKeeper* const trust_;      // Not owned.
  const IssuanceLog* const log_;  // Not owned.
  const absl::Duration workload_ttl_;
  const Clock* const clock_;  // Not owned.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_TRUST_CALLS_H_
