#ifndef BYRNIE_COMMON_POLICY_KNOWN_FIELDS_H_
#define BYRNIE_COMMON_POLICY_KNOWN_FIELDS_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// What a message may contain: a tree by field number, with the wire type the field has in its
// canonical serialisation. The generated code for the lite runtime keeps unknown fields but does
// not say that there are any, so the bytes are asked.
struct KnownFields {
  struct Field {
    absl::string_view name;
    int wire_type;                         // 0 varint, 2 length-delimited.
    const KnownFields* message = nullptr;  // Of the sub-message; null for scalars and text.
  };
  std::map<int, Field> fields;
};

// Walks a serialised message. InvalidArgument names the path ("rules.clauses") and number of the
// first field that is not known or has another wire type, or says that the bytes are no protobuf.
absl::Status CheckKnownFields(absl::string_view serialized, const KnownFields& known);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_POLICY_KNOWN_FIELDS_H_
