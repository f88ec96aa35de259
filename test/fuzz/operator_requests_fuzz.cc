// What callers of the operator's API may send: requests of every method, which gRPC parses before
// anybody has asked who calls; and what a caller with the least role may put into one: documents,
// page tokens, cursors, field masks. Whatever is taken says the same when it is written and read
// again, and every request that is not understood says so.

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "byrnie/operator/v1/operator.pb.h"
#include "controlplane/events/event_log.h"
#include "controlplane/operator/page.h"
#include "controlplane/operator/read_mask.h"
#include "controlplane/policy/policy_document.h"
#include "controlplane/registry/entry_document.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/stubs/logging.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

namespace v1 = byrnie::operator_::v1;

// The first byte of an input. From kMessage on it is the request of a method.
enum Kind : uint8_t { kPolicy = 0, kRegistry = 1, kPage = 2, kCursor = 3, kMessage = 16 };

constexpr char kList[] = "workloads demo";

void Expect(bool condition) {
  if (!condition) std::abort();
}

const google::protobuf::ServiceDescriptor& Service() {
  return *v1::GetStatusRequest::descriptor()->file()->FindServiceByName("Operator");
}

std::unique_ptr<google::protobuf::Message> NewRequest(int method) {
  return std::unique_ptr<google::protobuf::Message>(
      google::protobuf::MessageFactory::generated_factory()
          ->GetPrototype(Service().method(method)->input_type())
          ->New());
}

void UseMessage(int method, absl::string_view bytes) {
  const auto request = NewRequest(method);
  if (!request->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  const auto again = NewRequest(method);
  Expect(again->ParseFromString(request->SerializeAsString()));
  v1::ListWorkloadsRequest list;
  if (Service().method(method)->input_type() == v1::ListWorkloadsRequest::descriptor() &&
      list.ParseFromString(request->SerializeAsString()) &&
      CheckReadMask<v1::Workload>(list.read_mask()).ok()) {
    v1::Workload workload;
    workload.set_name("w");
    ApplyReadMask(list.read_mask(), &workload);
  }
}

void UsePolicy(absl::string_view text) {
  const auto policy = ParsePolicyDocument(text);
  if (!policy.ok()) return Expect(!policy.status().message().empty());
  const auto again = ParsePolicyDocument(WritePolicyDocument(*policy));
  Expect(again.ok() && again->SerializeAsString() == policy->SerializeAsString());
}

// What it says when it is written again.
std::string Rewritten(const std::string& document) {
  const auto content = ParseRegistryDocument(document, "td");
  if (!content.ok()) return "";
  Expect(content->workloads.size() + content->services.size() == 1);
  return content->workloads.empty() ? WriteRegistryDocument(content->services.front())
                                    : WriteRegistryDocument(content->workloads.front());
}

void UseRegistry(absl::string_view text) {
  const auto content = ParseRegistryDocument(text, "td");
  if (!content.ok()) return Expect(!content.status().message().empty());
  Expect(content->policies.empty());
  Expect(content->workloads.size() + content->services.size() <= kMaxRegistryDocumentEntries);
  for (const auto& workload : content->workloads) {
    const std::string document = WriteRegistryDocument(workload);
    Expect(Rewritten(document) == document);
  }
  for (const auto& service : content->services) {
    const std::string document = WriteRegistryDocument(service);
    Expect(Rewritten(document) == document);
  }
}

void UsePage(absl::string_view text) {
  const auto page = Page::Create(0, text, kList);
  if (!page.ok() || text.empty()) return;
  Expect(!page->after().empty() && page->size() == Page::kDefaultSize);
  const auto again = Page::Create(0, page->TokenAfter(page->after()), kList);
  Expect(again.ok() && again->after() == page->after());
}

void UseCursor(absl::string_view text) {
  const auto cursor = EventCursor::Parse(text);
  if (!cursor.ok()) return;
  const auto again = EventCursor::Parse(cursor->ToString());
  Expect(again.ok() && again->log == cursor->log && again->sequence == cursor->sequence);
}

std::string Input(int kind, const std::string& text) {
  return std::string(1, static_cast<char>(kind)) + text;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds = {
      Input(
          kPolicy,
          R"({"name":"p","namespace":"n","scope":"NAMESPACE","action":"DENY","rules":[{"clauses":)"
          R"([{"matches":[{"destination_ports":[80],"principals":[{"prefix":"td/"}]}]}]}]})"),
      Input(kPolicy, R"({"name":"p","namespace":"n","action":"AUDIT"})"),
      Input(kRegistry,
            R"({"workloads":[{"name":"w","namespace":"n","service_account":"a","addresses":)"
            R"(["10.0.0.1","fd00::1"],"services":{"n/s":[{"service_port":80}]}}],"services":)"
            R"([{"name":"s","namespace":"n","hostname":"s","ports":[{"service_port":80}]}]})"),
      Input(kRegistry, R"({"workloads":[{"uid":"u","addresses":["::ffff:10.0.0.1"]}]})"),
      Input(kPage, Page::Create(0, "", kList)->TokenAfter("demo/w")),
      Input(kPage, Page::Create(0, "", "others")->TokenAfter("demo/w")),
      Input(kCursor, EventCursor{7, 8}.ToString()),
      Input(kCursor, "0.-1"),
  };
  v1::ListWorkloadsRequest list;
  list.mutable_read_mask()->add_paths("uid");
  list.mutable_read_mask()->add_paths("addresses");
  list.set_page_token("x");
  for (int method = 0; method < Service().method_count(); ++method) {
    const auto request = NewRequest(method);
    (void)request->ParseFromString(list.SerializeAsString());
    seeds.push_back(Input(kMessage + method, request->SerializeAsString()));
  }
  return seeds;
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // It says of every text that is not UTF-8 that it is none.
  static google::protobuf::LogHandler* const before = google::protobuf::SetLogHandler(nullptr);
  (void)before;
  if (size == 0) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] == byrnie::kPolicy) byrnie::UsePolicy(text);
  if (data[0] == byrnie::kRegistry) byrnie::UseRegistry(text);
  if (data[0] == byrnie::kPage) byrnie::UsePage(text);
  if (data[0] == byrnie::kCursor) byrnie::UseCursor(text);
  const int method = data[0] - byrnie::kMessage;
  if (method >= 0 && method < byrnie::Service().method_count()) byrnie::UseMessage(method, text);
  return 0;
}
