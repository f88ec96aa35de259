#include "certagent/control_plane_connector.h"

#include <algorithm>
#include <utility>

#include "absl/random/distributions.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/file.h"
#include "common/base/retry_after.h"
#include "common/base/status_macros.h"
#include "common/base/version.h"
#include "common/grpc/control_plane_channel.h"
#include "common/identity/trust_bundle.h"

namespace byrnie {
namespace {

constexpr size_t kMaxRootsSize = 1024 * 1024;
constexpr absl::Duration kLook = absl::Seconds(1);
constexpr char kRoots[] = "byrnie_certagent_roots_file_changes_total";
constexpr char kRootsHelp[] = "Changes of a file with roots to trust a server by, by result.";

// Of "HOST:PORT", without the brackets of an IPv6 address.
std::string HostOf(absl::string_view target) {
  absl::string_view host = target.substr(0, target.rfind(':'));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return std::string(host);
}

}  // namespace

ControlPlaneConnector::ControlPlaneConnector(EventLoop* loop, Options options,
                                             std::string roots_pem, Logger* log,
                                             MetricRegistry* metrics, absl::BitGenRef random)
    : loop_(loop),
      options_(std::move(options)),
      log_(log),
      random_(random),
      endpoints_(options_.service, options_.targets, metrics, random),
      roots_pem_(std::move(roots_pem)),
      seen_(TakeFileFingerprint(options_.roots_path)),
      look_(loop->NewTimer([this] { LookAtFile(); })),
      tell_(loop->NewDeferred([this] {
        if (on_roots_) on_roots_();
      })),
      roots_changed_(metrics->AddCounter(kRoots, kRootsHelp, {{"result", "applied"}})),
      roots_rejected_(metrics->AddCounter(kRoots, kRootsHelp, {{"result", "rejected"}})) {
  look_->Schedule(kLook);
}

ControlPlaneConnector::~ControlPlaneConnector() = default;

absl::StatusOr<ControlPlaneConnector::Connection> ControlPlaneConnector::NewChannel(
    const ClientIdentityPtr& identity) {
  RefreshRoots();
  return MakeChannel(identity);
}

absl::StatusOr<ControlPlaneConnector::Connection> ControlPlaneConnector::MakeChannel(
    const ClientIdentityPtr& identity) {
  const size_t endpoint = endpoints_.Choose(loop_->Now());
  ControlPlaneChannelOptions options;
  options.target = endpoints_.target(endpoint);
  options.trust_domain = options_.trust_domain;
  options.server_name = options_.server_name == "*" ? HostOf(options.target) : options_.server_name;
  options.trust_bundle_pem = absl::StrCat(roots_pem_, AddedPem());
  options.user_agent = absl::StrCat("byrnie-certagent/", kRelease);
  options.revocation_lists = revocation_lists_;
  options.connect_timeout =
      endpoints_.PatienceWith(endpoint, options.connect_timeout, loop_->Now());
  if (options_.watch_closely) {
    // Not all at the same moment.
    options.keepalive_time = absl::Seconds(absl::Uniform<double>(random_, 3, 5));
    options.keepalive_timeout = absl::Seconds(3);
  }
  if (identity != nullptr) {
    options.identity = ControlPlaneClientIdentity{identity->chain, identity->key};
  }
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, CreateControlPlaneChannel(options));
  keeper_.Sweep();
  keeper_.Keep(channel);
  return Connection{std::move(channel), endpoint};
}

absl::StatusOr<ControlPlaneConnector::Connection> ControlPlaneConnector::SharedChannel(
    const ClientIdentityPtr& identity) {
  RefreshRoots();
  if (shared_.channel == nullptr || shared_identity_ != identity ||
      shared_.endpoint != endpoints_.Choose(loop_->Now())) {
    ASSIGN_OR_RETURN(shared_, MakeChannel(identity));
    shared_identity_ = identity;
  }
  return shared_;
}

absl::Status ControlPlaneConnector::OnCallEnded(size_t endpoint, absl::Status status) {
  endpoints_.OnCallEnded(endpoint, status, loop_->Now());
  if (!status.ok() && endpoints_.HasAnother(endpoint, loop_->Now())) ClearRetryAfter(&status);
  return status;
}

void ControlPlaneConnector::OnStreamWorks(size_t endpoint) {
  endpoints_.OnCallEnded(endpoint, absl::OkStatus(), loop_->Now());
}

void ControlPlaneConnector::LookAtFile() {
  look_->Schedule(kLook);
  keeper_.Sweep();
  if (!(TakeFileFingerprint(options_.roots_path) == seen_)) RefreshRoots();
}

void ControlPlaneConnector::RefreshRoots() {
  // Before it is read: what is written meanwhile is looked at again.
  seen_ = TakeFileFingerprint(options_.roots_path);
  absl::StatusOr<std::string> pem = ReadFile(options_.roots_path, kMaxRootsSize);
  absl::Status usable = pem.status();
  if (usable.ok()) usable = TrustBundleSet::FromPem(options_.trust_domain, *pem).status();
  if (!usable.ok()) {
    if (usable.message() == complaint_) return;
    complaint_ = std::string(usable.message());
    roots_rejected_->Increment();
    log_->Warning("trust bundle file not usable, keeping what it held before",
                  {{"file", options_.roots_path}, {"reason", complaint_}});
    return;
  }
  complaint_.clear();
  if (*pem == roots_pem_) return;
  roots_pem_ = *std::move(pem);
  roots_changed_->Increment();
  log_->Info("trust bundle file changed", {{"file", options_.roots_path}});
  OnTrustChanged();
}

std::string ControlPlaneConnector::AddedPem() const {
  const absl::StatusOr<std::vector<CertificatePtr>> of_file = Certificate::ListFromPem(roots_pem_);
  std::string added;
  for (const CertificatePtr& root : learned_roots_) {
    const bool known = of_file.ok() && std::any_of(of_file->begin(), of_file->end(),
                                                   [&](const CertificatePtr& other) {
                                                     return other->der() == root->der();
                                                   });
    if (!known) absl::StrAppend(&added, "\n", root->ToPem());
  }
  return added;
}

void ControlPlaneConnector::SetLearnedRoots(const std::vector<CertificatePtr>& roots) {
  const std::string before = AddedPem();
  learned_roots_ = roots;
  if (AddedPem() != before) OnTrustChanged();
}

void ControlPlaneConnector::SetRevocationLists(RevocationListMap lists) {
  if (lists == revocation_lists_) return;
  revocation_lists_ = std::move(lists);
  OnTrustChanged();
}

void ControlPlaneConnector::OnTrustChanged() {
  if (shared_.channel == nullptr) return;  // Nor any stream.
  shared_.channel.reset();
  tell_->Schedule();
}

}  // namespace byrnie
