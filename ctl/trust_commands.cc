// trust status, rotate, rollback; issuances; revocations; revoke.

#include <algorithm>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"
#include "ctl/command.h"
#include "ctl/exit_code.h"
#include "ctl/flags.h"
#include "ctl/rotation_wait.h"
#include "ctl/table.h"
#include "ctl/trust_text.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

int Show(const CommandContext& context, const absl::StatusOr<v1::Trust>& trust) {
  if (!trust.ok()) return Failed(trust.status());
  Print(context.json ? MessageJson(*trust) : TrustText(*trust, context.now));
  return kDone;
}

// Of a call that has changed nothing.
int ShowDryRun(const CommandContext& context, const absl::StatusOr<v1::Trust>& trust,
               bool in_steps) {
  if (!trust.ok()) return Failed(trust.status());
  Print(context.json ? MessageJson(*trust)
                     : DryRunText(*trust, absl::GetFlag(FLAGS_exclude), in_steps, context.now));
  return kDone;
}

// Until the rotation that is `trust` now is over.
int Wait(const CommandContext& context, v1::Trust trust) {
  RotationWait wait;
  wait.look = [&context] {
    return context.client->Call(&OperatorClient::Stub::GetTrust, v1::GetTrustRequest());
  };
  // Starting a control plane again, or its store, takes less than a rotation.
  wait.passes = [](const absl::Status& status) {
    return OperatorClient::IsUnreachable(status) || absl::IsUnavailable(status);
  };
  wait.now = [] { return SystemClock().WallNow(); };
  wait.sleep = [](absl::Duration time) { absl::SleepFor(time); };
  wait.say = [](absl::string_view line) { Note(absl::StrCat(line, "\n")); };
  const absl::StatusOr<RotationEnd> end =
      WaitForRotation(wait, absl::GetFlag(FLAGS_timeout), &trust);
  if (!end.ok()) return Failed(end.status());
  Print(context.json ? MessageJson(trust) : TrustText(trust, SystemClock().WallNow()));
  switch (*end) {
    case RotationEnd::kOver:
      return kDone;
    case RotationEnd::kStopped:
      return Failed(
          absl::FailedPreconditionError("the rotation was taken back or stopped by somebody"));
    case RotationEnd::kHeldUp:
      break;
  }
  Note("the time is up; the rotation goes on as soon as nothing keeps it back\n");
  return kHeldUp;
}

// RFC 5280 section 4.1.2.2: 20 octets.
constexpr size_t kMaxSerialDigits = 40;

// Whether it is what trust status calls somebody.
bool MayBeExcluded(absl::string_view name) {
  if (name == "unknown" || name == "connections") return true;
  if (absl::ConsumePrefix(&name, "controlplane:")) {
    // Of a control plane, or of its file alone.
    (void)absl::ConsumeSuffix(&name, "/trust_bundle_out");
    return !name.empty() && name.find('/') == name.npos;
  }
  const size_t at = name.rfind('@');
  if (at != name.npos && !IpAddress::Parse(name.substr(at + 1)).ok()) return false;
  return SpiffeId::Parse(name.substr(0, at)).ok();
}

absl::Status CheckExclusions() {
  for (const std::string& name : absl::GetFlag(FLAGS_exclude)) {
    if (MayBeExcluded(name)) continue;
    return InFlag("exclude",
                  absl::StrCat("\"", name,
                               "\" is nobody whom trust status may name: a SPIFFE ID, with @IP "
                               "behind it or without, \"controlplane:NAME\" or \"unknown\""));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTrustRotate(const CommandContext&) {
  const std::string step = absl::GetFlag(FLAGS_step);
  constexpr absl::string_view kSteps[] = {"",         "prepare", "distribute",
                                          "activate", "taint",   "revoke"};
  if (!absl::c_linear_search(kSteps, step)) {
    return InFlag("step", absl::StrCat("\"", step,
                                       "\" is none of prepare, distribute, activate, taint and "
                                       "revoke"));
  }
  RETURN_IF_ERROR(CheckExclusions());
  const bool wait = absl::GetFlag(FLAGS_wait);
  if (wait && (!absl::GetFlag(FLAGS_step).empty() || absl::GetFlag(FLAGS_dry_run))) {
    return InFlag("wait", "is for a whole rotation, without --step and --dry_run");
  }
  if (!wait && absl::GetFlag(FLAGS_timeout) != absl::InfiniteDuration()) {
    return InFlag("timeout", "is for --wait");
  }
  return absl::OkStatus();
}

namespace {

// OK: it may be the serial number of a certificate; else what one is.
absl::Status CheckSerial(absl::string_view serial) {
  const bool digits = std::all_of(serial.begin(), serial.end(), [](char c) {
    return absl::ascii_isxdigit(static_cast<unsigned char>(c));
  });
  if (digits && !serial.empty() && serial.size() <= kMaxSerialDigits && serial.size() % 2 == 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", serial, "\" is not a serial number, 2 to ", kMaxSerialDigits,
                   " hexadecimal digits, an even number of them; byrniectl issuances "
                   "shows those there are"));
}

// The time that a flag's text names, which may be how long ago it is.
absl::StatusOr<absl::Time> ReadTime(absl::string_view flag, const std::string& text,
                                    absl::Time now) {
  absl::Duration ago;
  absl::Time time;
  std::string error;
  if (absl::ParseDuration(text, &ago) && ago > absl::ZeroDuration() &&
      ago < absl::InfiniteDuration()) {
    return now - ago;
  }
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error) && time > absl::UnixEpoch() &&
      time < absl::InfiniteFuture()) {
    return time;
  }
  return InFlag(flag, absl::StrCat("\"", text,
                                   "\" is neither how long ago, such as 2h, nor a time, such as "
                                   "2026-01-31T12:00:00Z"));
}

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  out->set_seconds(absl::ToUnixSeconds(time));
  out->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(out->seconds()))));
}

// What the flags of issuances ask for.
absl::StatusOr<v1::ListIssuancesRequest> ReadIssuancesRequest(absl::Time now) {
  v1::ListIssuancesRequest request;
  request.set_page_size(1000);
  const std::string id = absl::GetFlag(FLAGS_identity), serial = absl::GetFlag(FLAGS_serial);
  const std::string since = absl::GetFlag(FLAGS_since), until = absl::GetFlag(FLAGS_until);
  if (!id.empty() && !SpiffeId::Parse(id).ok()) {
    return InFlag("identity",
                  absl::StrCat("\"", id,
                               "\" is no SPIFFE ID, such as spiffe://cluster.local/ns/default/sa/"
                               "app; byrniectl workloads list shows those of workloads"));
  }
  request.set_spiffe_id(id);
  if (!serial.empty()) {
    const absl::Status valid = CheckSerial(serial);
    if (!valid.ok()) return InFlag("serial", valid.message());
  }
  request.set_serial(serial);
  absl::Time begin = absl::InfinitePast(), end = absl::InfiniteFuture();
  if (!since.empty()) {
    ASSIGN_OR_RETURN(begin, ReadTime("since", since, now));
    SetTime(begin, request.mutable_since());
  }
  if (!until.empty()) {
    ASSIGN_OR_RETURN(end, ReadTime("until", until, now));
    SetTime(end, request.mutable_until());
  }
  if (begin >= end) {
    return InFlag("until", absl::StrCat("\"", until, "\" is not after --since, \"", since, "\""));
  }
  return request;
}

// Empty: it was not revoked.
std::string RevocationText(const v1::Issuance& issuance) {
  if (!issuance.has_revoked_at()) return "";
  return absl::StrCat(
      Rfc3339(issuance.revoked_at()), " by ",
      issuance.revoked_by().empty() ? "nobody known" : Printable(issuance.revoked_by()),
      issuance.revoked_reason().empty() ? "" : ": ", Printable(issuance.revoked_reason()));
}

// With a column for what proofs say of their holders where any does.
std::string IssuancesText(const std::vector<v1::Issuance>& issuances) {
  if (issuances.empty()) return "nothing was issued\n";
  const bool subjects = absl::c_any_of(
      issuances, [](const v1::Issuance& issuance) { return !issuance.subject().empty(); });
  std::vector<std::vector<std::string>> rows = {{"ISSUED", "IDENTITY", "SERIAL", "PROOF"}};
  if (subjects) rows.back().push_back("SUBJECT");
  for (const char* name : {"ADDRESS", "END", "JWT FOR", "REVOKED"}) rows.back().push_back(name);
  for (const v1::Issuance& issuance : issuances) {
    rows.push_back({Rfc3339(issuance.issued_at()), Printable(issuance.spiffe_id()),
                    Printable(issuance.serial()), Printable(issuance.proof())});
    std::vector<std::string>& row = rows.back();
    if (subjects) row.push_back(Printable(issuance.subject()));
    row.push_back(Printable(issuance.address()));
    row.push_back(issuance.has_not_after() ? Rfc3339(issuance.not_after()) : "unknown");
    row.push_back(Printable(absl::StrJoin(issuance.audience(), " ")));
    row.push_back(RevocationText(issuance));
  }
  return Table(rows);
}

}  // namespace

absl::Status CheckTrustRollback(const CommandContext&) { return CheckExclusions(); }

absl::Status CheckRevoke(const CommandContext& context) {
  return CheckSerial(context.arguments.front());
}

absl::Status CheckIssuances(const CommandContext& context) {
  return ReadIssuancesRequest(context.now).status();
}

int RunTrustStatus(const CommandContext& context) {
  return Show(context,
              context.client->Call(&OperatorClient::Stub::GetTrust, v1::GetTrustRequest()));
}

int RunTrustRotate(const CommandContext& context) {
  v1::RotateTrustRequest request;
  request.set_move(absl::GetFlag(FLAGS_step));
  for (const std::string& agent : absl::GetFlag(FLAGS_exclude)) request.add_exclude(agent);
  request.set_dry_run(absl::GetFlag(FLAGS_dry_run));
  absl::StatusOr<v1::Trust> trust =
      context.client->Call(&OperatorClient::Stub::RotateTrust, request);
  if (request.dry_run()) return ShowDryRun(context, trust, !request.move().empty());
  if (!trust.ok() || !absl::GetFlag(FLAGS_wait)) return Show(context, trust);
  return Wait(context, *std::move(trust));
}

int RunTrustRollback(const CommandContext& context) {
  v1::RollbackTrustRequest request;
  for (const std::string& agent : absl::GetFlag(FLAGS_exclude)) request.add_exclude(agent);
  request.set_dry_run(absl::GetFlag(FLAGS_dry_run));
  const auto trust = context.client->Call(&OperatorClient::Stub::RollbackTrust, request);
  return request.dry_run() ? ShowDryRun(context, trust, /*in_steps=*/true) : Show(context, trust);
}

int RunIssuances(const CommandContext& context) {
  const absl::StatusOr<v1::ListIssuancesRequest> request = ReadIssuancesRequest(context.now);
  if (!request.ok()) return BadUsage(request.status());
  const auto issuances = context.client->ListAll(&OperatorClient::Stub::ListIssuances, *request,
                                                 &v1::ListIssuancesResponse::mutable_issuances);
  if (!issuances.ok()) return Failed(issuances.status());
  Print(context.json ? JsonArray(*issuances) : IssuancesText(*issuances));
  return kDone;
}

int RunRevocations(const CommandContext& context) {
  v1::ListRevocationsRequest request;
  request.set_page_size(1000);
  const auto revocations =
      context.client->ListAll(&OperatorClient::Stub::ListRevocations, request,
                              &v1::ListRevocationsResponse::mutable_revocations);
  if (!revocations.ok()) return Failed(revocations.status());
  Print(context.json ? JsonArray(*revocations) : RevocationsText(*revocations, context.now));
  return kDone;
}

namespace {

// By then every control plane refuses what was revoked.
constexpr absl::Duration kRevocationSpreads = absl::Seconds(3);

std::string RevokedText(const std::string& serial, const v1::RevokeCertificateResponse& answer) {
  std::string text = absl::StrCat(
      "certificate ", serial, " of ",
      answer.spiffe_id().empty() ? "nobody the log knows" : Printable(answer.spiffe_id()),
      answer.ended() ? " has ended" : " is revoked", "\n");
  if (answer.renewed() > 0) {
    absl::StrAppend(&text, "revoked with it, because they were renewed from it: ", answer.renewed(),
                    answer.renewed() == 1 ? " certificate\n" : " certificates\n");
  }
  if (answer.jwt_svids() > 0) {
    absl::StrAppend(&text, "JWT-SVIDs that were issued on their proof, which nothing takes back: ",
                    answer.jwt_svids(), ", until ", Rfc3339(answer.jwt_svids_until()), "\n");
  }
  if (!answer.warning().empty()) {
    absl::StrAppend(&text, "WARNING: ", Printable(answer.warning()), "\n");
  }
  if (answer.unreadable().empty()) return text;
  std::vector<std::vector<std::string>> rows = {{"CANNOT BE READ", "ISSUED"}};
  for (const v1::Issuance& issuance : answer.unreadable()) {
    rows.push_back({Printable(issuance.serial()), Rfc3339(issuance.issued_at())});
  }
  absl::StrAppend(&text, Table(rows));
  const uint32_t left = answer.unreadable_total() - static_cast<uint32_t>(answer.unreadable_size());
  if (left > 0) absl::StrAppend(&text, "and ", left, " more\n");
  return text;
}

}  // namespace

int RunRevoke(const CommandContext& context) {
  v1::RevokeCertificateRequest request;
  request.set_serial(context.arguments.front());
  request.set_reason(absl::GetFlag(FLAGS_reason));
  request.set_accept_unknown(absl::GetFlag(FLAGS_accept_unknown));
  request.set_only(absl::GetFlag(FLAGS_only));
  auto answer = context.client->Call(&OperatorClient::Stub::RevokeCertificate, request);
  if (!answer.ok()) return Failed(answer.status());
  if (!request.only()) {
    // What a control plane that has not heard of it has issued on its proof meanwhile.
    absl::SleepFor(kRevocationSpreads);
    answer = context.client->Call(&OperatorClient::Stub::RevokeCertificate, request);
    if (!answer.ok()) return Failed(answer.status());
  }
  Print(context.json ? MessageJson(*answer) : RevokedText(request.serial(), *answer));
  // A script is not to take it for all.
  return answer->warning().empty() ? kDone : kIncomplete;
}

}  // namespace byrnie
