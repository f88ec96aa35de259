#include "controlplane/store/store.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

absl::Status CheckKey(absl::string_view key) {
  if (key.empty() || key.size() > StoreTransaction::kMaxKeyBytes ||
      !std::all_of(key.begin(), key.end(),
                   [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); })) {
    return absl::InvalidArgumentError(
        absl::StrCat("store: a key of ", key.size(), " bytes is not 1 to ",
                     StoreTransaction::kMaxKeyBytes, " bytes of printable ASCII"));
  }
  return absl::OkStatus();
}

}  // namespace

StoreTransaction& StoreTransaction::Require(StoreCondition condition) {
  conditions_.push_back(std::move(condition));
  return *this;
}

StoreTransaction& StoreTransaction::RequireRevision(absl::string_view key, int64_t revision) {
  return Require({std::string(key), revision});
}

StoreTransaction& StoreTransaction::RequireAbsent(absl::string_view key) {
  return Require({std::string(key), 0});
}

StoreTransaction& StoreTransaction::Put(absl::string_view key, std::string value) {
  writes_.push_back({std::string(key), std::move(value)});
  return *this;
}

StoreTransaction& StoreTransaction::Delete(absl::string_view key) {
  writes_.push_back({std::string(key), absl::nullopt});
  return *this;
}

StoreTransaction& StoreTransaction::EraseReplaced() {
  erases_replaced_ = true;
  return *this;
}

absl::Status StoreTransaction::Check() const {
  if (conditions_.size() > kMaxConditions || writes_.size() > kMaxOperations) {
    return absl::InvalidArgumentError(
        absl::StrCat("store: ", conditions_.size(), " conditions and ", writes_.size(),
                     " writes; at most ", kMaxConditions, " and ", kMaxOperations));
  }
  size_t bytes = 0;
  std::set<absl::string_view> written;
  for (const StoreCondition& condition : conditions_) {
    RETURN_IF_ERROR(CheckKey(condition.key));
  }
  for (const StoreWrite& write : writes_) {
    RETURN_IF_ERROR(CheckKey(write.key));
    if (!written.insert(write.key).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("store: one transaction writes \"", write.key, "\" twice"));
    }
    bytes += write.key.size() + (write.value.has_value() ? write.value->size() : 0);
  }
  if (bytes > kMaxBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("store: a transaction of ", bytes, " bytes; at most ", kMaxBytes));
  }
  return absl::OkStatus();
}

void StoreTransaction::WipeValues() {
  for (StoreWrite& write : writes_) {
    if (write.value.has_value()) WipeString(&*write.value);
  }
}

absl::StatusOr<std::vector<StoreEntry>> ListAll(Store* store, absl::string_view prefix) {
  std::vector<StoreEntry> entries;
  while (true) {
    const std::string after = entries.empty() ? "" : entries.back().key;
    ASSIGN_OR_RETURN(Store::Page page, store->List(prefix, after, Store::kMaxPage));
    std::move(page.entries.begin(), page.entries.end(), std::back_inserter(entries));
    if (!page.more) return entries;
  }
}

std::string StorePageStart(absl::string_view prefix, absl::string_view after_key) {
  return after_key < prefix || after_key.empty()
             ? std::string(prefix)
             : absl::StrCat(after_key, absl::string_view("\0", 1));
}

std::string StorePrefixEnd(absl::string_view prefix) {
  std::string end(prefix);
  // Keys are ASCII, so that the last byte can always be one more.
  if (!end.empty()) ++end.back();
  return end;
}

}  // namespace byrnie
