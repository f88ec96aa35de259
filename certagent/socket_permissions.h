#ifndef BYRNIE_CERTAGENT_SOCKET_PERMISSIONS_H_
#define BYRNIE_CERTAGENT_SOCKET_PERMISSIONS_H_

#include <string>

namespace byrnie {

// Makes the directory of the socket at `path`, with mode 0700, where nothing but that is missing:
// in a pod the two containers share a volume, whose own directory every user may write to. What
// keeps it from that, whoever then looks at the directory finds. Blocks on the disk.
void MakeSocketDirectory(const std::string& path);

// What to tell the operator about the permissions of the directory that the link's socket at
// `path` is in, in one line; empty when there is nothing to tell. Who may write to it can put a
// socket of theirs in the place of the agent's: the proxy refuses one of another user, and is then
// without an agent. In a directory with the sticky bit only its owner could. Blocks on the disk.
std::string SocketDirectoryWarning(const std::string& path);

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_SOCKET_PERMISSIONS_H_
