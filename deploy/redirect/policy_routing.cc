#include "deploy/redirect/policy_routing.h"

#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "deploy/redirect/nft_text.h"

namespace byrnie {
namespace {

constexpr size_t kBufferSize = 32 * 1024;

const char* FamilyName(int family) { return family == AF_INET ? "IPv4" : "IPv6"; }

std::string Describe(int family, bool rule) {
  return rule ? absl::StrFormat("%s rule: fwmark 0x%x/0x%x lookup %u", FamilyName(family),
                                kToProxyMark, kToProxyMark, PolicyRouting::kTable)
              : absl::StrFormat("%s route: local default dev lo table %u", FamilyName(family),
                                PolicyRouting::kTable);
}

// IPv6 may be compiled out or switched off for the namespace; then it needs no routing.
std::vector<int> Families() {
  std::vector<int> families = {AF_INET};
  if (access("/proc/self/net/if_inet6", R_OK) == 0) {
    // An empty list: IPv6 is switched off on every interface, and routes to lo are refused.
    FILE* list = fopen("/proc/self/net/if_inet6", "re");
    if (list != nullptr) {
      if (fgetc(list) != EOF) families.push_back(AF_INET6);
      fclose(list);
    }
  }
  return families;
}

// A request under construction; attributes are few and fit.
class Message {
 public:
  Message(uint16_t type, uint16_t flags) {
    header()->nlmsg_len = NLMSG_LENGTH(0);
    header()->nlmsg_type = type;
    header()->nlmsg_flags = flags;
  }
  nlmsghdr* header() { return reinterpret_cast<nlmsghdr*>(buffer_); }
  template <typename T>
  void Body(const T& body) {
    memcpy(NLMSG_DATA(header()), &body, sizeof(body));
    header()->nlmsg_len = NLMSG_LENGTH(sizeof(body));
  }
  void Attribute(uint16_t type, uint32_t value) {
    rtattr* attribute = reinterpret_cast<rtattr*>(buffer_ + NLMSG_ALIGN(header()->nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = RTA_LENGTH(sizeof(value));
    memcpy(RTA_DATA(attribute), &value, sizeof(value));
    header()->nlmsg_len = NLMSG_ALIGN(header()->nlmsg_len) + RTA_ALIGN(attribute->rta_len);
  }

 private:
  alignas(nlmsghdr) char buffer_[256] = {};
};

void AddRuleBody(Message& message, int family) {
  fib_rule_hdr body = {};
  body.family = static_cast<uint8_t>(family);
  body.action = FR_ACT_TO_TBL;
  body.table = RT_TABLE_UNSPEC;
  message.Body(body);
  message.Attribute(FRA_TABLE, PolicyRouting::kTable);
  message.Attribute(FRA_PRIORITY, PolicyRouting::kPriority);
  message.Attribute(FRA_FWMARK, kToProxyMark);
  message.Attribute(FRA_FWMASK, kToProxyMark);
}

void AddRouteBody(Message& message, int family, uint32_t loopback) {
  rtmsg body = {};
  body.rtm_family = static_cast<uint8_t>(family);
  body.rtm_table = RT_TABLE_UNSPEC;
  body.rtm_protocol = RTPROT_STATIC;
  body.rtm_scope = RT_SCOPE_HOST;
  body.rtm_type = RTN_LOCAL;
  message.Body(body);
  message.Attribute(RTA_TABLE, PolicyRouting::kTable);
  message.Attribute(RTA_OIF, loopback);
}

// The value of a 32-bit attribute of a rule or route; 0 when it has none.
uint32_t AttributeOf(const nlmsghdr* message, size_t body_size, uint16_t type) {
  const char* at = static_cast<const char*>(NLMSG_DATA(message)) + NLMSG_ALIGN(body_size);
  int left = static_cast<int>(message->nlmsg_len - NLMSG_LENGTH(body_size));
  for (const rtattr* attribute = reinterpret_cast<const rtattr*>(at); RTA_OK(attribute, left);
       attribute = RTA_NEXT(attribute, left)) {
    if ((attribute->rta_type & NLA_TYPE_MASK) != type ||
        RTA_PAYLOAD(attribute) < sizeof(uint32_t)) {
      continue;
    }
    uint32_t value;
    memcpy(&value, RTA_DATA(attribute), sizeof(value));
    return value;
  }
  return 0;
}

bool IsOurs(const nlmsghdr* message, bool rule, uint32_t loopback) {
  if (rule) {
    const auto* body = static_cast<const fib_rule_hdr*>(NLMSG_DATA(message));
    const size_t size = sizeof(*body);
    return body->action == FR_ACT_TO_TBL &&
           AttributeOf(message, size, FRA_TABLE) == PolicyRouting::kTable &&
           AttributeOf(message, size, FRA_PRIORITY) == PolicyRouting::kPriority &&
           AttributeOf(message, size, FRA_FWMARK) == kToProxyMark &&
           AttributeOf(message, size, FRA_FWMASK) == kToProxyMark;
  }
  const auto* body = static_cast<const rtmsg*>(NLMSG_DATA(message));
  const size_t size = sizeof(*body);
  return body->rtm_type == RTN_LOCAL && body->rtm_dst_len == 0 &&
         AttributeOf(message, size, RTA_TABLE) == PolicyRouting::kTable &&
         AttributeOf(message, size, RTA_OIF) == loopback;
}

}  // namespace

absl::StatusOr<PolicyRouting> PolicyRouting::Create() {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) {
    return absl::FailedPreconditionError(
        absl::StrCat("the kernel offers no rtnetlink: ", strerror(errno)));
  }
  return PolicyRouting(std::move(fd));
}

absl::StatusOr<bool> PolicyRouting::Change(int family, bool rule, bool add) {
  const uint16_t flags = NLM_F_REQUEST | NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0);
  Message message(rule ? (add ? RTM_NEWRULE : RTM_DELRULE) : (add ? RTM_NEWROUTE : RTM_DELROUTE),
                  flags);
  message.header()->nlmsg_seq = ++sequence_;
  if (rule) {
    AddRuleBody(message, family);
  } else {
    AddRouteBody(message, family, if_nametoindex("lo"));
  }
  int error = send(fd_.get(), message.header(), message.header()->nlmsg_len, 0) < 0 ? errno : 0;
  alignas(nlmsghdr) char buffer[4096];
  while (error == 0) {
    const ssize_t size = recv(fd_.get(), buffer, sizeof(buffer), 0);
    const nlmsghdr* answer = reinterpret_cast<const nlmsghdr*>(buffer);
    if (size < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(nlmsgerr)))) {
      error = size < 0 ? errno : EPROTO;
    } else if (answer->nlmsg_seq == sequence_ && answer->nlmsg_type == NLMSG_ERROR) {
      error = -static_cast<const nlmsgerr*>(NLMSG_DATA(answer))->error;
      break;
    }
  }
  if (error == 0) return true;
  // It was so already.
  if (add ? error == EEXIST : error == ENOENT || error == ESRCH) return false;
  return absl::InternalError(absl::StrCat("cannot ", add ? "add" : "remove", " the ",
                                          Describe(family, rule), ": ", strerror(error)));
}

absl::StatusOr<bool> PolicyRouting::Has(int family, bool rule) {
  Message message(rule ? RTM_GETRULE : RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP);
  message.header()->nlmsg_seq = ++sequence_;
  if (rule) {
    fib_rule_hdr body = {};
    body.family = static_cast<uint8_t>(family);
    message.Body(body);
  } else {
    rtmsg body = {};
    body.rtm_family = static_cast<uint8_t>(family);
    message.Body(body);
  }
  const std::string what = absl::StrCat("cannot list ", FamilyName(family), " routing: ");
  if (send(fd_.get(), message.header(), message.header()->nlmsg_len, 0) < 0) {
    return absl::InternalError(absl::StrCat(what, strerror(errno)));
  }
  const uint32_t loopback = if_nametoindex("lo");
  bool found = false;
  std::vector<char> buffer(kBufferSize);
  while (true) {
    const ssize_t size = recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (size < 0) return absl::InternalError(absl::StrCat(what, strerror(errno)));
    size_t left = static_cast<size_t>(size);
    for (const nlmsghdr* answer = reinterpret_cast<const nlmsghdr*>(buffer.data());
         NLMSG_OK(answer, left); answer = NLMSG_NEXT(answer, left)) {
      if (answer->nlmsg_seq != sequence_) continue;
      if (answer->nlmsg_type == NLMSG_DONE) return found;
      if (answer->nlmsg_type == NLMSG_ERROR) {
        const int error = -static_cast<const nlmsgerr*>(NLMSG_DATA(answer))->error;
        return absl::InternalError(absl::StrCat(what, strerror(error)));
      }
      found = found || IsOurs(answer, rule, loopback);
    }
  }
}

absl::Status PolicyRouting::Add(bool* added) {
  std::vector<std::pair<int, bool>> done;
  *added = false;
  for (int family : Families()) {
    // The route first: a rule that finds no route sends packets on to the next one.
    for (bool rule : {false, true}) {
      const absl::StatusOr<bool> changed = Change(family, rule, true);
      if (!changed.ok()) {
        for (const auto& [undo_family, undo_rule] : done) {
          Change(undo_family, undo_rule, false).IgnoreError();
        }
        return changed.status();
      }
      if (*changed) done.emplace_back(family, rule);
    }
  }
  *added = !done.empty();
  return absl::OkStatus();
}

absl::Status PolicyRouting::Remove() {
  for (int family : Families()) {
    for (bool rule : {true, false}) {
      RETURN_IF_ERROR(Change(family, rule, false).status());
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> PolicyRouting::Difference(bool wanted) {
  std::string difference;
  for (int family : Families()) {
    for (bool rule : {true, false}) {
      ASSIGN_OR_RETURN(const bool found, Has(family, rule));
      if (found == wanted) continue;
      absl::StrAppend(&difference, wanted ? "- " : "+ ", Describe(family, rule), "\n");
    }
  }
  return difference;
}

}  // namespace byrnie
