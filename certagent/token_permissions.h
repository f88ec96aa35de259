#ifndef BYRNIE_CERTAGENT_TOKEN_PERMISSIONS_H_
#define BYRNIE_CERTAGENT_TOKEN_PERMISSIONS_H_

#include <string>

namespace byrnie {

// What to tell the operator about the permissions of the token's file, in one line; empty when
// there is nothing to tell. A join token that others can read can be used by them first. A
// projected token of Kubernetes is let be: the kubelet makes its file 0644, and only this pod sees
// it. Blocks on the disk.
std::string TokenFileWarning(const std::string& path);

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_TOKEN_PERMISSIONS_H_
