#include "controlplane/attest/pod_binding.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "controlplane/attest/refusal.h"

namespace byrnie {
namespace {

constexpr char kAddresses[] = "byrnie_controlplane_pod_addresses_total";
constexpr char kAddressesHelp[] =
    "Service account tokens by where whoever showed them was: at an address of the token's pod, of "
    "the pod's node, elsewhere, or where that is not known of the pod (yet). None with "
    "--kubernetes_pod_address=ignore.";

bool Has(const std::vector<IpAddress>& addresses, const IpAddress& address) {
  return std::find(addresses.begin(), addresses.end(), address) != addresses.end();
}

std::string Join(const std::vector<IpAddress>& addresses) {
  return absl::StrJoin(addresses, ", ", [](std::string* out, const IpAddress& address) {
    absl::StrAppend(out, address.ToString());
  });
}

std::string Named(const Pod& pod) { return absl::StrCat(pod.name.ns, "/", pod.name.name); }

absl::Status Differs(absl::string_view what, absl::string_view token, absl::string_view pod) {
  return RefuseCredential(RefusalReason::kWrongClaims,
                          absl::StrCat("its ", what, " is ", token.empty() ? "none" : token,
                                       ", and that of the pod with its uid is ", pod));
}

absl::Status NotYet(absl::string_view what) {
  return absl::UnavailableError(
      absl::StrCat(what, ", which --kubernetes_pod_address=require needs; ask again"));
}

}  // namespace

PodBinding::PodBinding(PodAddressRule rule, const PodLookup* pods, MetricRegistry* metrics)
    : rule_(rule),
      pods_(pods),
      at_pod_(metrics->AddCounter(kAddresses, kAddressesHelp, {{"at", "pod"}})),
      at_node_(metrics->AddCounter(kAddresses, kAddressesHelp, {{"at", "node"}})),
      elsewhere_(metrics->AddCounter(kAddresses, kAddressesHelp, {{"at", "elsewhere"}})),
      unknown_(metrics->AddCounter(kAddresses, kAddressesHelp, {{"at", "unknown"}})) {}

absl::StatusOr<PodBinding::Judgement> PodBinding::Judge(
    const Holder& holder, const absl::optional<IpAddress>& source) const {
  Judgement judgement{holder.pod.node, "", ""};
  const PodLookup::Found found =
      pods_ == nullptr ? PodLookup::Found() : pods_->Find(holder.pod.uid);
  if (found.state == PodLookup::State::kGone) {
    return RefuseCredential(RefusalReason::kUnknownToken, "its pod is gone");
  }
  if (found.pod == nullptr) {
    if (rule_ != PodAddressRule::kIgnore) unknown_->Increment();
    if (rule_ == PodAddressRule::kRequire) {
      return NotYet(absl::StrCat("nothing is known here yet of pod ", holder.pod.name, " (",
                                 holder.pod.uid, "), nor its address"));
    }
    judgement.lack = kUnknownPod;
    judgement.remark = "nothing was known here of that pod";
    return judgement;
  }
  const Pod& pod = *found.pod;
  const std::string path = absl::StrCat("/ns/", pod.name.ns, "/sa/", pod.service_account);
  if (holder.id.path() != path) return Differs("account", holder.id.path(), path);
  if (holder.pod.name != pod.name.name)
    return Differs("pod's name", holder.pod.name, pod.name.name);
  if (!holder.pod.node.empty() && !pod.node.empty() && holder.pod.node != pod.node) {
    return Differs("node", holder.pod.node, pod.node);
  }
  if (judgement.node.empty()) judgement.node = pod.node;
  RETURN_IF_ERROR(CheckAddress(pod, source, &judgement));
  return judgement;
}

absl::Status PodBinding::CheckAddress(const Pod& pod, const absl::optional<IpAddress>& source,
                                      Judgement* judgement) const {
  if (rule_ == PodAddressRule::kIgnore) return absl::OkStatus();
  const bool at_pod = source.has_value() && Has(pod.ips, *source);
  const bool at_node = source.has_value() && !at_pod && Has(pod.host_ips, *source);
  if (at_pod || at_node) {
    (at_pod ? at_pod_ : at_node_)->Increment();
    return absl::OkStatus();
  }
  // A kubelet tells of them when the first container may run already.
  if (pod.ips.empty()) {
    unknown_->Increment();
    if (rule_ == PodAddressRule::kRequire) {
      return NotYet(absl::StrCat("no address of pod ", Named(pod), " is known here yet"));
    }
    judgement->remark = "no address of that pod was known here yet";
    return absl::OkStatus();
  }
  elsewhere_->Increment();
  const std::string nodes =
      pod.host_ips.empty() ? "" : absl::StrCat(" or its node (", Join(pod.host_ips), ")");
  const std::string where =
      absl::StrCat("it comes from ", source.has_value() ? source->ToString() : "nobody knows where",
                   ", which is no address of pod ", Named(pod), " (", Join(pod.ips), ")", nodes);
  if (rule_ == PodAddressRule::kRequire) {
    return RefuseCredential(
        RefusalReason::kOtherAddress,
        absl::StrCat(where,
                     "; where the network gives pods another address on the way to the "
                     "control plane, start it with --kubernetes_pod_address=record"));
  }
  judgement->lack = kOtherAddress;
  judgement->remark = where;
  return absl::OkStatus();
}

}  // namespace byrnie
