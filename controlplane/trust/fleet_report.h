#ifndef BYRNIE_CONTROLPLANE_TRUST_FLEET_REPORT_H_
#define BYRNIE_CONTROLPLANE_TRUST_FLEET_REPORT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "controlplane/store/store.h"
#include "controlplane/trust/setting_digests.h"
#include "controlplane/trust/trust_digest.h"

namespace byrnie {

// What a control plane tells those that share its store about the agents connected to it. Bounded:
// what does not fit is counted, or left out where that makes others wait.
struct FleetReport {
  static constexpr size_t kMaxWaiting = 20;
  // 160 kB: what is beyond is waited for by its certificates.
  static constexpr size_t kMaxAcknowledged = 20000;

  struct WaitingAgent {
    std::string agent, address;
    // The id of the root of the certificate it has shown, and that one's end.
    std::string root;
    absl::Time not_after;
    bool operator==(const WaitingAgent& other) const {
      return agent == other.agent && address == other.address && root == other.root &&
             not_after == other.not_after;
    }
  };

  // What the control plane is called, and which of its processes this is.
  std::string name, instance;
  absl::Time written_at;
  // Of the commit that wrote it; 0: it has not been read from the store.
  int64_t revision = 0;
  // How long it may issue without having read the trust record.
  absl::Duration issues_without_store;
  // Of the trust record it signs and publishes by; 0: by none, its CA is plugged.
  int64_t trust_revision = 0;
  // Agents connected to it without the next root in force; and how many more there are.
  std::vector<WaitingAgent> waiting;
  uint32_t waiting_more = 0;
  // SerialPrefix() of certificates whose holders have acknowledged the next root; sorted.
  std::vector<uint64_t> acknowledged;
  // How often issuances were logged late.
  uint32_t late_issuances = 0;
  // Whose certificates its agents take, and what it signs with.
  TrustDigest trust;
  // What has to be the same for all.
  SettingDigests settings;
  // Why whoever goes by its file of the trust bundle may not trust the next root; empty: nothing is
  // wrong.
  std::string without_file;

  // Whether it says the same, but for when.
  bool SaysTheSame(const FleetReport& other) const;
};

// What stands for a serial in a report.
uint64_t SerialPrefix(const std::string& serial);

// A report that cannot be read: nobody knows what that control plane has to say.
struct UnreadableReport {
  std::string key;  // In the store.
  // Empty where the key does not tell.
  std::string name, instance;
};

// The reports in the store. Thread-safe; blocks; errors as the store's.
class StoredFleetReports {
 public:
  explicit StoredFleetReports(Store* store) : store_(store) {}

  // InvalidArgument: the name has what is no part of a key.
  absl::Status Write(const FleetReport& report);
  absl::Status Remove(const std::string& name, const std::string& instance);
  // Those that cannot be read are added to `unreadable`.
  absl::StatusOr<std::vector<FleetReport>> List(std::vector<UnreadableReport>* unreadable);

 private:
  Store* const store_;  // Not owned.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_FLEET_REPORT_H_
