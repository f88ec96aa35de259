#include "deploy/redirect/nft_session.h"

#include <linux/capability.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "nftables/libnftables.h"

namespace byrnie {
namespace {

bool MayAdministerNetwork() {
  __user_cap_header_struct header = {};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  return (data[CAP_NET_ADMIN / 32].effective & (1u << (CAP_NET_ADMIN % 32))) != 0;
}

// libnftables ends the process when it gets no netlink socket, so this is tried first.
absl::Status ProbeNetlink() {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the kernel offers no netfilter netlink: ", strerror(errno),
                     "; load the module nf_tables on the node"));
  }
  close(fd);
  return absl::OkStatus();
}

// libnftables reports an error over several lines and underlines the place in the commands; the
// first tells it all.
std::string FirstErrorLine(absl::string_view text) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StrContains(line, "Error:")) return std::string(absl::StripAsciiWhitespace(line));
  }
  std::string rest(text);
  absl::RemoveExtraAsciiWhitespace(&rest);
  return rest.empty() ? "no reason given" : rest;
}

}  // namespace

absl::StatusOr<NftSession> NftSession::Create() {
  if (!MayAdministerNetwork()) {
    return absl::FailedPreconditionError(
        "reading and changing redirect rules needs the capability NET_ADMIN; run as root in the "
        "pod's network "
        "namespace");
  }
  if (absl::Status status = ProbeNetlink(); !status.ok()) return status;
  nft_ctx* context = nft_ctx_new(NFT_CTX_DEFAULT);
  if (context == nullptr)
    return absl::ResourceExhaustedError("libnftables could not start: out of memory");
  NftSession session(context);
  nft_ctx_buffer_output(context);
  nft_ctx_buffer_error(context);
  nft_ctx_output_set_flags(context, NFT_CTX_OUTPUT_STATELESS | NFT_CTX_OUTPUT_NUMERIC_PRIO);
  absl::StatusOr<std::string> tables = session.Run("list tables");
  if (!tables.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the kernel's nf_tables cannot be used: ", tables.status().message(),
                     "; load the module nf_tables on the node"));
  }
  return session;
}

NftSession::~NftSession() {
  if (context_ != nullptr) nft_ctx_free(context_);
}

absl::StatusOr<std::string> NftSession::Run(const std::string& commands) {
  if (nft_run_cmd_from_buffer(context_, commands.c_str()) != 0) {
    return absl::InternalError(FirstErrorLine(nft_ctx_get_error_buffer(context_)));
  }
  return std::string(nft_ctx_get_output_buffer(context_));
}

bool NftSession::Supports(const std::string& commands) {
  nft_ctx_set_dry_run(context_, true);
  const absl::Status tried = Run(commands).status();
  nft_ctx_set_dry_run(context_, false);
  return tried.ok() || !absl::StrContains(tried.message(), strerror(EOPNOTSUPP));
}

absl::StatusOr<std::string> NftSession::ListTable(absl::string_view name) {
  absl::StatusOr<std::string> tables = Run("list tables");
  if (!tables.ok()) return tables.status();
  const std::string table = absl::StrCat("table ", name);
  for (absl::string_view line : absl::StrSplit(*tables, '\n')) {
    if (absl::StripAsciiWhitespace(line) == table) return Run(absl::StrCat("list ", table));
  }
  return std::string();
}

}  // namespace byrnie
