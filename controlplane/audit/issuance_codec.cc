#include "controlplane/audit/issuance_codec.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "byrnie/store/v1/issuance.pb.h"
#include "common/crypto/sha256_fingerprint.h"
#include "controlplane/proto/time_conversion.h"

namespace byrnie {
namespace {

// Of a key's time, and of what names an issuance: a certificate's serial, a JWT-SVID's id.
constexpr size_t kTimeDigits = 20, kMaxSerial = 128;

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

bool IsSerial(absl::string_view text) {
  return text.size() <= kMaxSerial && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isxdigit(static_cast<unsigned char>(c)) && !absl::ascii_isupper(c);
         });
}

// The field with the checksum of what comes before it.
std::string ChecksumField(absl::string_view before) {
  byrnie::store::v1::Issuance field;
  field.set_checksum(Sha256Prefix(before));
  return field.SerializeAsString();
}

std::string EncodeFields(const IssuanceRecord& record) {
  byrnie::store::v1::Issuance out;
  ToProto(record.issued_at, out.mutable_issued_at());
  out.set_serial(record.serial);
  out.set_identity(record.identity);
  out.set_proof(record.proof);
  out.set_subject(record.subject);
  out.set_protocol(record.protocol);
  out.set_address(record.address);
  out.set_root(absl::HexStringToBytes(record.root));
  ToProto(record.not_after, out.mutable_not_after());
  out.set_replaces(record.replaces);
  out.set_newest_root(absl::HexStringToBytes(record.newest_root));
  for (const std::string& audience : record.audience) out.add_audience(audience);
  return out.SerializeAsString();
}

IssuanceRecord DecodeFields(const byrnie::store::v1::Issuance& in) {
  IssuanceRecord record;
  record.issued_at = TimeOf(in.issued_at());
  record.serial = in.serial();
  record.identity = in.identity();
  record.proof = in.proof();
  record.subject = in.subject();
  record.protocol = in.protocol();
  record.address = in.address();
  record.root = absl::BytesToHexString(in.root());
  record.not_after = TimeOf(in.not_after());
  record.replaces = in.replaces();
  record.newest_root = absl::BytesToHexString(in.newest_root());
  record.audience.assign(in.audience().begin(), in.audience().end());
  return record;
}

// Whether the bytes that `in` and `record` were made of are those that were written. One without a
// checksum has no fields that are not known: what seems to be such a one was a checksum.
bool IsWhole(const byrnie::store::v1::Issuance& in, const IssuanceRecord& record,
             absl::string_view value) {
  if (!in.has_checksum()) return value == EncodeFields(record);
  const size_t size = ChecksumField("").size();
  if (value.size() < size) return false;
  const absl::string_view before = value.substr(0, value.size() - size);
  return value.substr(before.size()) == ChecksumField(before);
}

// `in` is what there is of the value.
IssuanceRecord WhatTheKeySays(absl::string_view key, const byrnie::store::v1::Issuance& in) {
  IssuanceRecord record;
  record.proof = kUnreadableProof;
  record.issued_at = absl::UnixEpoch();
  int64_t micros = 0;
  if (absl::ConsumePrefix(&key, kIssuancePrefix) &&
      absl::SimpleAtoi(key.substr(0, kTimeDigits), &micros)) {
    record.issued_at = absl::FromUnixMicros(micros);
  }
  record.serial = std::string(key.substr(std::min(key.size(), kTimeDigits + 1)));
  record.not_after = record.issued_at;
  if (IsSerial(in.replaces())) record.replaces = in.replaces();
  return record;
}

}  // namespace

std::string IssuanceKeyAt(absl::Time time) {
  return absl::StrFormat(
      "%s%020d", kIssuancePrefix,
      std::max<int64_t>(0, absl::ToUnixMicros(std::max(time, absl::UnixEpoch()))));
}

std::string IssuanceKey(const IssuanceRecord& record) {
  return absl::StrCat(IssuanceKeyAt(record.issued_at), "/", record.serial);
}

bool IsIssuanceKey(absl::string_view key) {
  if (!absl::ConsumePrefix(&key, kIssuancePrefix)) return false;
  const size_t slash = key.find('/');
  if (slash != kTimeDigits) return false;
  const absl::string_view time = key.substr(0, slash), serial = key.substr(slash + 1);
  return std::all_of(time.begin(), time.end(),
                     [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }) &&
         !serial.empty() && serial.size() <= kMaxSerial &&
         std::all_of(serial.begin(), serial.end(),
                     [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); });
}

std::string EncodeIssuance(const IssuanceRecord& record) {
  std::string value = EncodeFields(record);
  // A message goes on where another one's bytes are put behind it.
  return value.append(ChecksumField(value));
}

IssuanceRecord DecodeIssuance(absl::string_view key, const std::string& value) {
  byrnie::store::v1::Issuance in;
  if (!in.ParseFromString(value)) return WhatTheKeySays(key, in);
  const IssuanceRecord record = DecodeFields(in);
  // Of a release without checksums, bytes that are damaged may be a message all the same.
  const bool good = IssuanceKey(record) == key && in.has_not_after() && IsWhole(in, record, value);
  return good ? record : WhatTheKeySays(key, in);
}

}  // namespace byrnie
