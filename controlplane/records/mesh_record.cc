#include "controlplane/records/mesh_record.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "byrnie/store/v1/mesh.pb.h"
#include "common/base/status_macros.h"
#include "common/base/utc_text.h"
#include "controlplane/proto/time_conversion.h"
#include "controlplane/records/record_value.h"

namespace byrnie {
namespace {

// What holds the roots; the second is that of older releases.
constexpr const char* kRootKeys[] = {"trust", "authority"};
// Of control planes that start at the same moment one makes the mesh.
constexpr int kAttempts = 3;

constexpr char kRemedy[] =
    "restore the store from its last backup, or see whether --store names the right etcd and "
    "prefix; a new mesh, which no running agent will trust, begins with --new_mesh";

constexpr char kFileRemedy[] =
    "see whether --store names the right file and its volume is mounted, or restore the file from "
    "its last backup, without a -wal or -shm of another one beside it; a new mesh, which no "
    "running agent will trust, begins with --new_mesh";

const char* RemedyFor(const MeshStart& start) { return start.shared ? kRemedy : kFileRemedy; }

constexpr char kDamagedRemedy[] =
    "; where it is the store of this mesh for certain and there is none, end all control planes, "
    "delete that record with etcd's own tools, and start them: the first writes another";

std::string TimeText(const google::protobuf::Timestamp& time) {
  return UtcText(RecordTime(true, time).value_or(absl::InfinitePast()));
}

// FailedPrecondition: it is damaged.
absl::StatusOr<byrnie::store::v1::Mesh> Decode(const StoreEntry& entry) {
  byrnie::store::v1::Mesh mesh;
  // Of nothing at all a message without fields is made, too.
  if (!mesh.ParseFromString(entry.value) || mesh.id().empty()) return DamagedRecord(entry.key);
  return mesh;
}

absl::Status CheckNotLost(const byrnie::store::v1::Mesh& mesh) {
  if (!mesh.has_lost_at()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("control plane ", mesh.lost_seen_by(),
                                                    " has seen at ", TimeText(mesh.lost_at()),
                                                    " that the store has lost what it held"));
}

absl::StatusOr<bool> HasRoots(Store* store) {
  for (const char* key : kRootKeys) {
    ASSIGN_OR_RETURN(const absl::optional<StoreEntry> entry, store->Get(key));
    if (entry.has_value()) return true;
  }
  return false;
}

// Whether a store without a record of its mesh may get one.
absl::Status CheckMayMake(const MeshStart& start, int64_t count, bool has_roots) {
  // Of an older release.
  if (has_roots || start.new_mesh || (count > 0 && !start.own_roots)) return absl::OkStatus();
  if (count > 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the store has ", count,
                     start.shared ? " records and neither that of the mesh nor that of its roots; "
                                  : " records and not that of the mesh's roots; ",
                     RemedyFor(start)));
  }
  return CheckNoTraces(start);
}

}  // namespace

absl::Status CheckNoTraces(const MeshStart& start) {
  if (start.traces.empty() || start.new_mesh) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the store is empty, and there was a mesh: ", absl::StrJoin(start.traces, ", "),
                   "; ", RemedyFor(start)));
}

absl::StatusOr<bool> MayMakeRoot(Store* store, const MeshStart& start) {
  ASSIGN_OR_RETURN(const int64_t count, store->Count(""));
  ASSIGN_OR_RETURN(const bool has_roots, HasRoots(store));
  RETURN_IF_ERROR(CheckMayMake(start, count, has_roots));
  return !has_roots;
}

absl::StatusOr<MeshFound> FindOrMakeMesh(Store* store, const MeshStart& start, absl::Time now) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    // First how many there are: the record of the mesh is written before all others, and that of
    // the roots before what comes next.
    ASSIGN_OR_RETURN(const int64_t count, store->Count(""));
    ASSIGN_OR_RETURN(const absl::optional<StoreEntry> entry, store->Get(kMeshKey));
    if (entry.has_value()) {
      MeshFound found;
      found.revision = entry->revision;
      found.may_make_root = count <= 1 || start.new_mesh;
      const absl::StatusOr<byrnie::store::v1::Mesh> there = Decode(*entry);
      if (!there.ok()) {
        return absl::Status(there.status().code(),
                            absl::StrCat(there.status().message(), kDamagedRemedy));
      }
      const absl::Status lost = CheckNotLost(*there);
      if (!lost.ok())
        return absl::Status(lost.code(),
                            absl::StrCat(lost.message(), "; ", kRemedy, " over an empty store"));
      found.id = there->id();
      return found;
    }
    ASSIGN_OR_RETURN(const bool has_roots, HasRoots(store));
    RETURN_IF_ERROR(CheckMayMake(start, count, has_roots));
    byrnie::store::v1::Mesh mesh;
    mesh.set_id(start.new_id);
    ToProto(now, mesh.mutable_created_at());
    mesh.set_created_by(start.name);
    StoreTransaction transaction;
    transaction.RequireAbsent(kMeshKey).Put(kMeshKey, mesh.SerializeAsString());
    const absl::StatusOr<int64_t> committed = store->Commit(transaction);
    if (committed.ok()) {
      return MeshFound{start.new_id, *committed, count == 0 || start.new_mesh};
    }
    // Another process was faster, or nobody knows: the next look tells.
    if (!absl::IsAborted(committed.status()) && !absl::IsUnknown(committed.status())) {
      return committed.status();
    }
  }
  return absl::UnavailableError("the record of the mesh changes all the time; start again");
}

absl::Status JudgeMesh(const StoreEntry& entry, const std::string& id) {
  const absl::StatusOr<byrnie::store::v1::Mesh> mesh = Decode(entry);
  // Whose the store is nobody knows until somebody mends it.
  if (!mesh.ok()) return absl::UnavailableError(mesh.status().message());
  RETURN_IF_ERROR(CheckNotLost(*mesh));
  if (mesh->id() == id) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("it is that of another mesh now, which ",
                                                    mesh->created_by(), " began at ",
                                                    TimeText(mesh->created_at())));
}

absl::Status MarkMeshLost(Store* store, const std::string& id, const std::string& name,
                          absl::Time now) {
  byrnie::store::v1::Mesh mesh;
  mesh.set_id(id);
  ToProto(now, mesh.mutable_lost_at());
  mesh.set_lost_seen_by(name);
  StoreTransaction transaction;
  transaction.RequireAbsent(kMeshKey).Put(kMeshKey, mesh.SerializeAsString());
  return store->Commit(transaction).status();
}

}  // namespace byrnie
