#include "controlplane/policy/known_texts.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/base/call_once.h"
#include "absl/strings/match.h"

namespace byrnie {
namespace {

bool EndsBefore(absl::string_view a, absl::string_view b) {
  return std::lexicographical_compare(a.rbegin(), a.rend(), b.rbegin(), b.rend());
}

}  // namespace

struct KnownTexts::Data {
  std::vector<std::string> texts;
  // Which of them, in the order of their ends. Few policies ask for it.
  mutable absl::once_flag sorted_by_end;
  mutable std::vector<uint32_t> by_end;
};

KnownTexts::KnownTexts(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  texts.shrink_to_fit();
  auto data = std::make_shared<Data>();
  data->texts = std::move(texts);
  data_ = std::move(data);
}

const std::vector<std::string>& KnownTexts::texts() const { return data_->texts; }

bool KnownTexts::Has(absl::string_view text) const {
  return std::binary_search(begin(), end(), text);
}

bool KnownTexts::AnyStartsWith(absl::string_view prefix) const {
  const auto at = std::lower_bound(begin(), end(), prefix);
  return at != end() && absl::StartsWith(*at, prefix);
}

bool KnownTexts::AnyEndsWith(absl::string_view suffix) const {
  const std::vector<std::string>& texts = data_->texts;
  std::vector<uint32_t>& by_end = data_->by_end;
  absl::call_once(data_->sorted_by_end, [&texts, &by_end] {
    by_end.resize(texts.size());
    for (uint32_t i = 0; i < by_end.size(); ++i) by_end[i] = i;
    std::sort(by_end.begin(), by_end.end(),
              [&texts](uint32_t a, uint32_t b) { return EndsBefore(texts[a], texts[b]); });
  });
  const auto at = std::lower_bound(
      by_end.begin(), by_end.end(), suffix,
      [&texts](uint32_t one, absl::string_view other) { return EndsBefore(texts[one], other); });
  return at != by_end.end() && absl::EndsWith(texts[*at], suffix);
}

}  // namespace byrnie
