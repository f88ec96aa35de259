// workloads get, apply, delete; services get, apply, delete.

#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ctl/command.h"
#include "ctl/exit_code.h"
#include "ctl/flags.h"
#include "ctl/table.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

absl::string_view ChangeText(v1::AppliedEntry::Change change) {
  switch (change) {
    case v1::AppliedEntry::CHANGE_CREATED:
      return "is in force";
    case v1::AppliedEntry::CHANGE_CHANGED:
      return "is in force instead of the version before";
    case v1::AppliedEntry::CHANGE_UNCHANGED:
      return "is in force already";
    default:
      return "is in force in some way";
  }
}

// What is there, as the document it was applied as.
template <typename Request, typename Method>
int Get(const CommandContext& context, Method method) {
  Request request;
  request.set_name(context.arguments.front());
  const auto entry = context.client->Call(method, request);
  if (!entry.ok()) return Failed(entry.status());
  Print(context.json ? MessageJson(*entry) : absl::StrCat(entry->document(), "\n"));
  return kDone;
}

template <typename Request, typename Method>
int Delete(const CommandContext& context, Method method, absl::string_view kind) {
  Request request;
  request.set_name(context.arguments.front());
  request.set_expected_version(absl::GetFlag(FLAGS_expect));
  const auto answer = context.client->Call(method, request);
  if (!answer.ok()) return Failed(answer.status());
  return ReportDone(context, {"deleted", kind, request.name()},
                    absl::StrCat(kind, " ", request.name(), " is out of force\n"));
}

}  // namespace

int RunWorkloadGet(const CommandContext& context) {
  return Get<v1::GetWorkloadRequest>(context, &OperatorClient::Stub::GetWorkload);
}

int RunServiceGet(const CommandContext& context) {
  return Get<v1::GetServiceRequest>(context, &OperatorClient::Stub::GetService);
}

int RunRegistryApply(const CommandContext& context) {
  const absl::StatusOr<std::string> document = ReadDocument();
  if (!document.ok()) return BadUsage(document.status());
  v1::ApplyRegistryRequest request;
  request.set_document(*document);
  request.set_expected_version(absl::GetFlag(FLAGS_expect));
  const auto answer = context.client->Call(&OperatorClient::Stub::ApplyRegistry, request);
  if (!answer.ok()) return Failed(answer.status());
  if (context.json) {
    Print(MessageJson(*answer));
    return kDone;
  }
  for (const v1::AppliedEntry& entry : answer->entries()) {
    Print(absl::StrCat(entry.service() ? "service " : "workload ", Printable(entry.name()), " ",
                       ChangeText(entry.change()), ", version ", entry.version(), "\n"));
  }
  return kDone;
}

int RunWorkloadDelete(const CommandContext& context) {
  return Delete<v1::DeleteWorkloadRequest>(context, &OperatorClient::Stub::DeleteWorkload,
                                           "workload");
}

int RunServiceDelete(const CommandContext& context) {
  return Delete<v1::DeleteServiceRequest>(context, &OperatorClient::Stub::DeleteService, "service");
}

}  // namespace byrnie
