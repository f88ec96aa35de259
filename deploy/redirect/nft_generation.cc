#include "deploy/redirect/nft_generation.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/unique_fd.h"

namespace byrnie {
namespace {

struct Question {
  nlmsghdr header;
  nfgenmsg body;
};

absl::Status Unknown(int error) {
  return absl::UnavailableError(
      absl::StrCat("nf_tables does not say its generation: ", strerror(error)));
}

}  // namespace

absl::StatusOr<uint32_t> NftGeneration() {
  const UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!fd) return Unknown(errno);
  Question question = {};
  question.header.nlmsg_len = sizeof(question);
  question.header.nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN;
  question.header.nlmsg_flags = NLM_F_REQUEST;
  question.body.version = NFNETLINK_V0;
  if (send(fd.get(), &question, sizeof(question), 0) < 0) return Unknown(errno);
  alignas(nlmsghdr) char answer[4096];
  // It is there already: the kernel answers within send.
  const ssize_t size = recv(fd.get(), answer, sizeof(answer), MSG_DONTWAIT);
  if (size < 0) return Unknown(errno);
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer);
  if (!NLMSG_OK(header, static_cast<size_t>(size)) ||
      header->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN)) {
    return Unknown(EPROTO);
  }
  const char* at = static_cast<const char*>(NLMSG_DATA(header)) + NLMSG_ALIGN(sizeof(nfgenmsg));
  const char* const end = answer + header->nlmsg_len;
  while (at + sizeof(nlattr) <= end) {
    nlattr attribute;
    memcpy(&attribute, at, sizeof(attribute));
    if (attribute.nla_len < sizeof(attribute) || at + attribute.nla_len > end) break;
    if ((attribute.nla_type & NLA_TYPE_MASK) == NFTA_GEN_ID &&
        attribute.nla_len >= sizeof(attribute) + sizeof(uint32_t)) {
      uint32_t generation;
      memcpy(&generation, at + sizeof(attribute), sizeof(generation));
      return ntohl(generation);
    }
    at += NLA_ALIGN(attribute.nla_len);
  }
  return Unknown(EPROTO);
}

}  // namespace byrnie
