// workloads get, apply, delete; services get, apply, delete.

#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
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

}  // namespace

int RunWorkloadGet(const CommandContext& context) {
  v1::GetWorkloadRequest request;
  request.set_name(context.arguments.front());
  const auto workload = context.client->Call(&OperatorClient::Stub::GetWorkload, request);
  if (!workload.ok()) return Failed(workload.status());
  Print(context.json ? MessageJson(*workload) : absl::StrCat(workload->document(), "\n"));
  return kDone;
}

int RunServiceGet(const CommandContext& context) {
  v1::GetServiceRequest request;
  request.set_name(context.arguments.front());
  const auto service = context.client->Call(&OperatorClient::Stub::GetService, request);
  if (!service.ok()) return Failed(service.status());
  Print(context.json ? MessageJson(*service) : absl::StrCat(service->document(), "\n"));
  return kDone;
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
  v1::DeleteWorkloadRequest request;
  request.set_name(context.arguments.front());
  request.set_expected_version(absl::GetFlag(FLAGS_expect));
  const auto answer = context.client->Call(&OperatorClient::Stub::DeleteWorkload, request);
  if (!answer.ok()) return Failed(answer.status());
  Print(absl::StrCat("workload ", request.name(), " is out of force\n"));
  return kDone;
}

int RunServiceDelete(const CommandContext& context) {
  v1::DeleteServiceRequest request;
  request.set_name(context.arguments.front());
  request.set_expected_version(absl::GetFlag(FLAGS_expect));
  const auto answer = context.client->Call(&OperatorClient::Stub::DeleteService, request);
  if (!answer.ok()) return Failed(answer.status());
  Print(absl::StrCat("service ", request.name(), " is out of force\n"));
  return kDone;
}

}  // namespace byrnie
