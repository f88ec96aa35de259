#include "ctl/tar.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace byrnie {
namespace {

constexpr size_t kBlock = 512;

void Put(absl::string_view text, size_t offset, size_t size, std::string* header) {
  const size_t length = std::min(size, text.size());
  header->replace(offset, length, text.data(), length);
}

}  // namespace

void TarFile::Add(absl::string_view name, absl::string_view content) {
  std::string header(kBlock, '\0');
  Put(absl::StrCat(directory_, "/", name), 0, 100, &header);
  Put("0000600", 100, 8, &header);
  Put("0000000", 108, 8, &header);
  Put("0000000", 116, 8, &header);
  Put(absl::StrFormat("%011o", content.size()), 124, 12, &header);
  Put(absl::StrFormat("%011o", std::max<int64_t>(0, absl::ToUnixSeconds(modified_))), 136, 12,
      &header);
  // Counted as spaces.
  Put("        ", 148, 8, &header);
  header[156] = '0';
  Put("ustar", 257, 6, &header);
  Put("00", 263, 2, &header);
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  Put(absl::StrFormat("%06o", sum), 148, 6, &header);
  header[154] = '\0';
  absl::StrAppend(&bytes_, header, content);
  bytes_.append((kBlock - content.size() % kBlock) % kBlock, '\0');
}

std::string TarFile::Finish() && {
  bytes_.append(2 * kBlock, '\0');
  return std::move(bytes_);
}

}  // namespace byrnie
