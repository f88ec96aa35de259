#include "proxy/flow.h"

namespace byrnie {

FlowKeyView::Path FlowPathOf(AccessRecord::Protocol protocol) {
  switch (protocol) {
    case AccessRecord::Protocol::kHbone:
      return FlowKeyView::Path::kHbone;
    case AccessRecord::Protocol::kMtls:
      return FlowKeyView::Path::kDirect;
    case AccessRecord::Protocol::kTls:
    case AccessRecord::Protocol::kPlaintext:
      return FlowKeyView::Path::kPlaintext;
    case AccessRecord::Protocol::kProbe:
      return FlowKeyView::Path::kProbe;
  }
  return FlowKeyView::Path::kPlaintext;
}

}  // namespace byrnie
