#include "controlplane/trust/trust_codec.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "byrnie/store/v1/trust.pb.h"
#include "common/base/status_macros.h"
#include "common/crypto/sha256_fingerprint.h"
#include "controlplane/proto/time_conversion.h"

namespace byrnie {
namespace {

namespace v1 = byrnie::store::v1;

absl::Status Unreadable(absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat("the trust record in the store cannot be read: ", what,
                   "; was it written by a newer control plane? Start that, or restore the store "
                   "from a backup"));
}

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

void EncodeRoot(const RootRecord& root, v1::Root* out) {
  out->set_certificate(root.certificate_der);
  out->set_key(root.stored_key);
}

RootRecord DecodeRoot(const v1::Root& root) {
  return RootRecord{Sha256FingerprintHex(root.certificate()), root.certificate(), root.key()};
}

v1::Rotation::Step EncodeStep(RotationStep step) {
  switch (step) {
    case RotationStep::kPrepared:
      return v1::Rotation::STEP_PREPARED;
    case RotationStep::kDistributed:
      return v1::Rotation::STEP_DISTRIBUTED;
    case RotationStep::kActive:
      return v1::Rotation::STEP_ACTIVE;
    case RotationStep::kTainted:
      return v1::Rotation::STEP_TAINTED;
  }
  return v1::Rotation::STEP_UNSPECIFIED;
}

absl::StatusOr<RotationStep> DecodeStep(v1::Rotation::Step step) {
  switch (step) {
    case v1::Rotation::STEP_PREPARED:
      return RotationStep::kPrepared;
    case v1::Rotation::STEP_DISTRIBUTED:
      return RotationStep::kDistributed;
    case v1::Rotation::STEP_ACTIVE:
      return RotationStep::kActive;
    case v1::Rotation::STEP_TAINTED:
      return RotationStep::kTainted;
    default:
      return Unreadable(absl::StrCat("rotation step ", static_cast<int>(step)));
  }
}

void EncodeRotation(const RotationRecord& rotation, v1::Rotation* out) {
  out->set_step(EncodeStep(rotation.step));
  ToProto(rotation.since, out->mutable_since());
  EncodeRoot(rotation.next, out->mutable_next());
  if (rotation.distributed_at) ToProto(*rotation.distributed_at, out->mutable_distributed_at());
  if (rotation.activated_at) ToProto(*rotation.activated_at, out->mutable_activated_at());
  if (rotation.signed_until) ToProto(*rotation.signed_until, out->mutable_signed_until());
  out->set_automatic(rotation.automatic);
  for (const RotationExclusion& exclusion : rotation.exclusions) {
    v1::Exclusion* const excluded = out->add_exclusions();
    excluded->set_agent(exclusion.agent);
    excluded->set_step(EncodeStep(exclusion.step));
    excluded->set_by(exclusion.by);
    ToProto(exclusion.at, excluded->mutable_at());
    excluded->set_rollback(exclusion.rollback);
    excluded->set_left_out(exclusion.left_out);
    excluded->set_over(exclusion.over);
  }
}

absl::StatusOr<RotationRecord> DecodeRotation(const v1::Rotation& in) {
  RotationRecord rotation;
  ASSIGN_OR_RETURN(rotation.step, DecodeStep(in.step()));
  rotation.since = TimeOf(in.since());
  rotation.next = DecodeRoot(in.next());
  if (in.has_distributed_at()) rotation.distributed_at = TimeOf(in.distributed_at());
  if (in.has_activated_at()) rotation.activated_at = TimeOf(in.activated_at());
  if (in.has_signed_until()) rotation.signed_until = TimeOf(in.signed_until());
  rotation.automatic = in.automatic();
  for (const v1::Exclusion& excluded : in.exclusions()) {
    ASSIGN_OR_RETURN(RotationStep step, DecodeStep(excluded.step()));
    rotation.exclusions.push_back({excluded.agent(), step, excluded.by(), TimeOf(excluded.at()),
                                   excluded.rollback(), excluded.left_out(), excluded.over()});
  }
  return rotation;
}

}  // namespace

std::string EncodeTrustRecord(const TrustRecord& record) {
  v1::TrustRecord out;
  out.set_trust_domain(record.trust_domain);
  EncodeRoot(record.current, out.mutable_current());
  if (record.rotation.has_value()) EncodeRotation(*record.rotation, out.mutable_rotation());
  for (const LifeCap& cap : record.life_caps) {
    v1::LifeCap* const added = out.add_life_caps();
    const int64_t seconds = absl::ToInt64Seconds(cap.life);
    added->mutable_life()->set_seconds(seconds);
    added->mutable_life()->set_nanos(
        static_cast<int32_t>(absl::ToInt64Nanoseconds(cap.life - absl::Seconds(seconds))));
    if (cap.until != absl::InfiniteFuture()) ToProto(cap.until, added->mutable_until());
  }
  out.set_root_count(record.root_count);
  if (record.logged_since != absl::InfinitePast()) {
    ToProto(record.logged_since, out.mutable_logged_since());
  }
  return out.SerializeAsString();
}

absl::StatusOr<TrustRecord> DecodeTrustRecord(absl::string_view bytes) {
  v1::TrustRecord in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Unreadable("it is no such record");
  }
  TrustRecord record;
  record.trust_domain = in.trust_domain();
  record.current = DecodeRoot(in.current());
  if (in.has_rotation()) {
    ASSIGN_OR_RETURN(record.rotation, DecodeRotation(in.rotation()));
  }
  for (const v1::LifeCap& cap : in.life_caps()) {
    ASSIGN_OR_RETURN(absl::Duration life, FromProto(cap.life()));
    record.life_caps.push_back(
        {life, cap.has_until() ? TimeOf(cap.until()) : absl::InfiniteFuture()});
  }
  record.root_count = in.root_count();
  if (in.has_logged_since()) record.logged_since = TimeOf(in.logged_since());
  RETURN_IF_ERROR(CheckTrustRecord(record));
  return record;
}

}  // namespace byrnie
