#include "controlplane/agents/certificate_holders.h"

#include <algorithm>
#include <utility>

namespace byrnie {
namespace {

constexpr absl::Duration kSweepInterval = absl::Minutes(1);

}  // namespace

uint32_t CertificateHolders::RootIndex(const std::string& root) {
  const auto found = std::find(roots_.begin(), roots_.end(), root);
  if (found != roots_.end()) return static_cast<uint32_t>(found - roots_.begin());
  roots_.push_back(root);
  return static_cast<uint32_t>(roots_.size() - 1);
}

CertificateHolders::Entry CertificateHolders::EntryOf(const Certificate& certificate) {
  Entry entry;
  entry.id = certificate.id;
  entry.root = RootIndex(certificate.root);
  entry.newest_root = RootIndex(certificate.newest_root);
  entry.issued_at = certificate.issued_at;
  entry.not_after = certificate.not_after;
  return entry;
}

void CertificateHolders::OnIssued(const Certificate& certificate, const std::string& replaces) {
  absl::MutexLock lock(&mu_);
  Entry entry = EntryOf(certificate);
  if (by_serial_.contains(replaces)) entry.replaces = replaces;
  // Perhaps it was shown and acknowledged before it was read of.
  const auto known = by_serial_.find(certificate.serial);
  if (known != by_serial_.end()) entry.acknowledged = known->second.acknowledged;
  if (entry.acknowledged > 0) Forget(std::exchange(entry.replaces, ""));
  by_serial_[certificate.serial] = std::move(entry);
}

void CertificateHolders::OnWithheld(const std::string& serial) {
  absl::MutexLock lock(&mu_);
  by_serial_.erase(serial);
}

void CertificateHolders::ForgetEnded(absl::Time now) {
  absl::MutexLock lock(&mu_);
  if (now >= swept_at_ && now < swept_at_ + kSweepInterval) return;
  swept_at_ = now;
  for (auto it = by_serial_.begin(); it != by_serial_.end();) {
    if (it->second.not_after <= now) {
      by_serial_.erase(it++);
    } else {
      ++it;
    }
  }
}

void CertificateHolders::OnShown(const Certificate& certificate) {
  if (certificate.serial.empty()) return;
  absl::MutexLock lock(&mu_);
  if (by_serial_.contains(certificate.serial)) return;
  Entry entry = EntryOf(certificate);
  entry.issued_at = absl::InfinitePast();
  entry.newest_root = RootIndex("");
  by_serial_[certificate.serial] = std::move(entry);
}

void CertificateHolders::Forget(std::string serial) {
  while (!serial.empty()) {
    const auto it = by_serial_.find(serial);
    if (it == by_serial_.end()) return;
    serial = std::move(it->second.replaces);
    by_serial_.erase(it);
  }
}

void CertificateHolders::OnAcknowledged(const std::string& serial, uint64_t version) {
  absl::MutexLock lock(&mu_);
  const auto it = by_serial_.find(serial);
  if (it == by_serial_.end()) return;
  it->second.acknowledged = std::max(it->second.acknowledged, version);
  Forget(std::exchange(it->second.replaces, ""));
}

// Whoever asks with a certificate has its key: it is the same holder.
uint64_t CertificateHolders::AcknowledgedBy(const Entry& entry) const {
  uint64_t newest = entry.acknowledged;
  for (auto it = by_serial_.find(entry.replaces); it != by_serial_.end();
       it = by_serial_.find(it->second.replaces)) {
    newest = std::max(newest, it->second.acknowledged);
  }
  return newest;
}

std::vector<CertificateHolders::Certificate> CertificateHolders::List(absl::Time now) const {
  absl::MutexLock lock(&mu_);
  std::vector<Certificate> held;
  for (const auto& [serial, entry] : by_serial_) {
    if (entry.not_after <= now) continue;
    held.push_back({serial, entry.id, roots_[entry.root], entry.issued_at, entry.not_after,
                    AcknowledgedBy(entry), roots_[entry.newest_root], entry.replaces});
  }
  return held;
}

size_t CertificateHolders::size() const {
  absl::MutexLock lock(&mu_);
  return by_serial_.size();
}

}  // namespace byrnie
