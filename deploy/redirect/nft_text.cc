#include "deploy/redirect/nft_text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace byrnie {
namespace {

std::string ChainWithHead(absl::string_view name, absl::string_view head, const Rules& rules) {
  return absl::StrCat("\tchain ", name, " {\n\t\t", head, absl::StrJoin(rules, "\n\t\t"),
                      "\n\t}\n");
}

}  // namespace

std::string ToProxy(absl::string_view mark) {
  const std::string bit = absl::StrCat("0x", absl::Hex(kToProxyMark, absl::kZeroPad8));
  return absl::StrCat(mark, " & ", bit, " == ", bit);
}

std::string NotToProxy(absl::string_view mark) {
  const std::string bit = absl::StrCat("0x", absl::Hex(kToProxyMark, absl::kZeroPad8));
  return absl::StrCat(mark, " & ", bit, " != ", bit);
}

std::string SetToProxy(absl::string_view mark) {
  return absl::StrCat(mark, " set ", mark, " | 0x", absl::Hex(kToProxyMark, absl::kZeroPad8));
}

std::string AsSource(absl::string_view match) {
  return absl::StrReplaceAll(match, {{" daddr ", " saddr "}, {" dport ", " sport "}});
}

std::string Chain(absl::string_view name, const Rules& rules) {
  return ChainWithHead(name, "", rules);
}

std::string BaseChain(absl::string_view name, absl::string_view hook, absl::string_view policy,
                      const Rules& rules) {
  return ChainWithHead(name, absl::StrCat("type ", hook, "; policy ", policy, ";\n\t\t"), rules);
}

void Goto(Rules& rules, absl::string_view interface_match,
          const std::vector<std::string>& interfaces, const std::vector<std::string>& matches,
          absl::string_view chain) {
  std::vector<std::string> first;
  for (const std::string& name : interfaces) {
    first.push_back(absl::StrCat(interface_match, " \"", name, "\" "));
  }
  if (first.empty()) first.emplace_back();
  for (const std::string& prefix : first) {
    for (const std::string& match : matches) {
      rules.push_back(absl::StrCat(prefix, match, " goto ", chain));
    }
    if (matches.empty()) rules.push_back(absl::StrCat(prefix, "goto ", chain));
  }
}

}  // namespace byrnie
