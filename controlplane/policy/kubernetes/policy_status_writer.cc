#include "controlplane/policy/kubernetes/policy_status_writer.h"

#include <algorithm>
#include <utility>

#include "absl/random/distributions.h"
#include "absl/strings/str_cat.h"
#include "common/base/json_writer.h"
#include "common/base/utc_text.h"

namespace byrnie {
namespace {

constexpr char kWrites[] = "byrnie_controlplane_policy_status_writes_total";
constexpr char kWritesHelp[] = "Times the status of an AccessPolicy was written, by result.";

// A merge of what is there ("merge patch"), which the server makes of that version alone. The list
// of conditions is ours as a whole.
std::string PatchOf(const AccessPolicy& object, const AccessPolicyStatus& status, absl::Time now) {
  const bool same = object.status.has_value() && !object.since.empty() &&
                    object.status->accepted == status.accepted;
  JsonWriter json;
  json.BeginObject().Key("metadata").BeginObject();
  json.Field("resourceVersion", object.resource_version).EndObject();
  json.Key("status").BeginObject();
  json.Field("observedGeneration", status.observed_generation);
  json.Key("conditions").BeginArray().BeginObject();
  json.Field("type", "Accepted")
      .Field("status", status.accepted ? "True" : "False")
      .Field("reason", status.reason)
      .Field("message", status.message)
      .Field("observedGeneration", status.observed_generation)
      .Field("lastTransitionTime", same ? object.since : UtcText(now));
  json.EndObject().EndArray();
  json.Key("lastAccepted");
  if (status.accepted_generation == 0) {
    json.Null();
  } else {
    json.BeginObject()
        .Field("generation", status.accepted_generation)
        .Field("spec", status.accepted_spec)
        .EndObject();
  }
  json.EndObject().EndObject();
  return std::move(json).Finish();
}

}  // namespace

PolicyStatusWriter::PolicyStatusWriter(ApiClient* client, EventLoop* loop, absl::BitGenRef random,
                                       Logger* logger, MetricRegistry* metrics)
    : client_(client),
      loop_(loop),
      random_(random),
      logger_(logger),
      written_(metrics->AddCounter(kWrites, kWritesHelp, {{"result", "ok"}})),
      failed_(metrics->AddCounter(kWrites, kWritesHelp, {{"result", "failed"}})),
      next_(loop->NewTimer([this] { Next(); })) {}

absl::Duration PolicyStatusWriter::Jitter(absl::Duration most) {
  // In whole steps of the loop's clock: a timer that fires a fraction too early would fire for
  // ever.
  return absl::Trunc(most * absl::Uniform(random_, 0.0, 1.0), absl::Milliseconds(1));
}

void PolicyStatusWriter::Want(std::shared_ptr<const AccessPolicy> object,
                              AccessPolicyStatus status) {
  Entry& entry = entries_[object->name];
  const bool is_there = object->status.has_value() && *object->status == status;
  const bool same_object = entry.object != nullptr && *entry.object == *object;
  const bool asked = entry.wanted && same_object && entry.status == status;
  if (entry.object != nullptr && entry.object->uid != object->uid) entry.written = -1;
  entry.object = std::move(object);
  entry.status = std::move(status);
  if (is_there) {
    entry.wanted = false;
    entry.retry = absl::ZeroDuration();
    return;
  }
  // It is as old as what was written to it, which is on its way here; or it waits already.
  if (entry.object->resource_version == entry.settled || asked) return;
  absl::Duration wait = Jitter(kSpread);
  if (entry.written == entry.status.observed_generation && !same_object) {
    // Somebody has written something else over it.
    entry.patience = std::min(std::max(2 * entry.patience, kPatience), kMostPatience);
    wait = entry.patience + Jitter(entry.patience / 2);
  } else if (entry.written != entry.status.observed_generation) {
    entry.patience = absl::ZeroDuration();
  }
  entry.due = loop_->Now() + wait;
  entry.wanted = true;
  Schedule();
}

void PolicyStatusWriter::Forget(const ObjectName& name) { entries_.erase(name); }

void PolicyStatusWriter::Schedule() {
  if (call_ != nullptr) return;
  absl::Duration due = absl::InfiniteDuration();
  for (const auto& [name, entry] : entries_) {
    if (entry.wanted) due = std::min(due, entry.due);
  }
  if (due == absl::InfiniteDuration()) return next_->Cancel();
  next_->Schedule(std::max(due - loop_->Now(), absl::ZeroDuration()));
}

void PolicyStatusWriter::Next() {
  call_.reset();
  for (auto& [name, entry] : entries_) {
    if (entry.wanted && entry.due <= loop_->Now()) return Send(name, &entry);
  }
  Schedule();
}

void PolicyStatusWriter::Send(const ObjectName& name, Entry* entry) {
  entry->wanted = false;
  entry->settled = entry->object->resource_version;
  entry->written = entry->status.observed_generation;
  ApiRequest request;
  request.method = "PATCH";
  request.target = absl::StrCat(kResource, EncodeQuery(name.ns), "/accesspolicies/",
                                EncodeQuery(name.name), "/status?fieldManager=byrnie");
  request.content_type = "application/merge-patch+json";
  request.body = PatchOf(*entry->object, entry->status, loop_->WallNow());
  ApiClient::Handlers handlers;
  handlers.on_done = [this, name = name](absl::StatusOr<ApiResponse> response) {
    OnDone(name, std::move(response));
  };
  call_ = client_->Send(std::move(request), std::move(handlers));
}

void PolicyStatusWriter::OnDone(const ObjectName& name, absl::StatusOr<ApiResponse> response) {
  const absl::Status done = StatusOf(response);
  // The call ends in a later turn, as it may not end in its own handler.
  next_->Schedule(absl::ZeroDuration());
  if (done.ok()) {
    written_->Increment();
    logged_.clear();
    return;
  }
  const auto found = entries_.find(name);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  // Another control plane was first, or somebody has changed or deleted it: it is looked at again
  // when that comes.
  if (absl::IsAlreadyExists(done) || absl::IsNotFound(done)) {
    if (entry.written == entry.status.observed_generation) entry.written = -1;
    return;
  }
  failed_->Increment();
  entry.settled.clear();
  entry.written = -1;
  entry.retry = std::min(std::max(2 * entry.retry, kRetry), kMostRetry);
  const absl::Duration asked =
      response.ok() ? response->retry_after.value_or(absl::ZeroDuration()) : absl::ZeroDuration();
  entry.due = loop_->Now() + std::max(entry.retry + Jitter(entry.retry / 2), asked);
  entry.wanted = true;
  if (logged_ == done.message()) return;
  logged_ = std::string(done.message());
  logger_->Error("cannot write the status of an AccessPolicy",
                 {{"namespace", name.ns}, {"name", name.name}, {"error", done.message()}});
}

}  // namespace byrnie
