#ifndef BYRNIE_DEPLOY_REDIRECT_NFT_SESSION_H_
#define BYRNIE_DEPLOY_REDIRECT_NFT_SESSION_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct nft_ctx;

namespace byrnie {

// Talks to nf_tables of the network namespace the process is in, through libnftables; runs no other
// program. Lives on one thread.
class NftSession {
 public:
  // FailedPrecondition: the process lacks CAP_NET_ADMIN, or the kernel has no nf_tables; the
  // message says what to do.
  static absl::StatusOr<NftSession> Create();

  NftSession(NftSession&& other) noexcept : context_(other.context_) { other.context_ = nullptr; }
  NftSession& operator=(NftSession&&) = delete;
  ~NftSession();

  // Runs one buffer of nft commands as one transaction: all of it or nothing. Returns what it
  // printed. Internal, with the kernel's words on one line, when it was refused.
  absl::StatusOr<std::string> Run(const std::string& commands);

  // Whether the kernel knows everything that these commands ask for, of which none is run. Only a
  // kernel that says itself that it does not support something does not.
  bool Supports(const std::string& commands);

  // The table "inet NAME" as text, stateless and with numeric priorities; empty when there is none.
  absl::StatusOr<std::string> ListTable(absl::string_view name);

 private:
  explicit NftSession(nft_ctx* context) : context_(context) {}

  nft_ctx* context_;
};

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_REDIRECT_NFT_SESSION_H_
