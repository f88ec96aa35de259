#ifndef BYRNIE_PROXY_ADDRESS_CONVERSION_H_
#define BYRNIE_PROXY_ADDRESS_CONVERSION_H_

#include "absl/status/statusor.h"
#include "istio/workload/workload.pb.h"
#include "proxy/workload.h"

namespace byrnie {

// Converts one workload. Unset parts of the identity mean trust domain "cluster.local" and service
// account "default", as in Istio. Fields this release does not know are ignored: none of them can
// make a workload accept another identity. InvalidArgument names the uid and what is wrong: no uid
// or namespace, a malformed address, port or identity, an unknown tunnel protocol or status.
absl::StatusOr<Workload> ConvertWorkload(const istio::workload::Workload& workload);

// Converts one service. InvalidArgument names "namespace/hostname" and what is wrong: no namespace
// or hostname, a malformed address, port or SPIFFE ID, an unknown load balancing mode, scope or
// health policy: guessing what it means might send traffic out of where it is to stay.
absl::StatusOr<Service> ConvertService(const istio::workload::Service& service);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_ADDRESS_CONVERSION_H_
