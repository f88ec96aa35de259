#ifndef BYRNIE_DEPLOY_REDIRECT_RULESET_H_
#define BYRNIE_DEPLOY_REDIRECT_RULESET_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "deploy/redirect/redirect_options.h"

namespace byrnie {

// The nftables table `inet byrnie` for one set of options. Immutable; pure text, touches nothing.
//
// Two chains take new connections to the proxy. Two more close the ways around them:
// * A packet that connection tracking calls invalid is not translated; it would leave with its
//   original destination, in plaintext, or arrive at a port nobody listens on and reset a healthy
//   connection.
// * A connection that connection tracking knew before the rules were there is not translated
//   either. The guards let nothing pass, in either direction, that was not taken to the proxy, does
//   not go to an open port and is not the proxy's own; both ends of it get a reset.
// * Connection tracking keeps the proxy's connections apart from the applications', so that neither
//   is ever taken for the other's.
// * From the proxy's ports nobody but the proxy answers, also while it is dead.
// * What the options let out is judged by the options that are installed: connections that narrower
//   ones no longer let out end.
// * When somebody empties the table, its chains are left: those of the guards drop everything.
class Ruleset {
 public:
  // InvalidArgument as CheckOptions.
  static absl::StatusOr<Ruleset> Create(const RedirectOptions& options);

  bool tproxy() const { return tproxy_; }

  // The same for a kernel whose connection tracking has no zones: the proxy's connections are not
  // kept apart.
  Ruleset WithoutZones() const;

  // Commands that such a kernel refuses; to be tried, not to be run.
  static std::string ZoneCommands();

  // The table as `nft --stateless --numeric-priority list table inet byrnie` shows it once it is
  // installed.
  const std::string& listing() const { return listing_; }

  // Commands that put the table in place whatever was there, also after CloseCommands; run as one
  // buffer they are one transaction.
  std::string ApplyCommands() const;

  // Commands that leave no table; succeed as well when there is none.
  static std::string RemoveCommands();

  // The table `inet byrnie_closed`: all TCP of the pod but the proxy's own is rejected, whatever
  // `inet byrnie` says, and the proxy is made to answer that the pod is not ready.
  const std::string& closed_listing() const { return closed_listing_; }
  std::string CloseCommands() const;

  // The same rules once more, in a table `inet byrnie_held` that belongs to the process that runs
  // these commands: nobody else can change it, and it is gone with the process.
  std::string HoldCommands() const;

 private:
  Ruleset() = default;

  void SetChains(std::string chains);

  bool tproxy_ = false;
  std::string chains_;
  std::string listing_;
  std::string closed_listing_;
};

// Compares two listings line by line, blind to white space. Empty: the same. Otherwise lines that
// start with "-" (expected, missing) or "+" (found, not expected), each under the chain it belongs
// to.
std::string CompareListings(absl::string_view expected, absl::string_view found);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_REDIRECT_RULESET_H_
