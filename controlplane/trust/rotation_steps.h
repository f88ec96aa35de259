#ifndef BYRNIE_CONTROLPLANE_TRUST_ROTATION_STEPS_H_
#define BYRNIE_CONTROLPLANE_TRUST_ROTATION_STEPS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "controlplane/trust/trust_record.h"

// The rotation of the root as pure functions: of the record in the store, of what is known about
// the fleet, and of the time. Nothing here knows a store, a key or a network.
namespace byrnie {

// What can be done to a rotation. Each is one commit, and is refused unless it is its turn.
//
//   kPrepare     makes the next root and its key. Nobody else hears of it.
//   kDistribute  publishes the next root beside the current one.
//   kActivate    the next root signs. Gate: every agent that is connected has acknowledged the next
//                root, with this certificate or one before it, however new it is; every certificate
//                that an agent which is not connected may still use came with the next root,
//                without which it cannot be used, or its holder has acknowledged that. Here as at
//                every gate, every other control plane of the same store has taken in where the
//                rotation stands, or all it may have issued without knowing has ended. Here and
//                at kRevoke every control plane that runs has both roots in its file of the trust
//                bundle, where it keeps one.
//   kTaint       tells agents to renew certificates of the current root now.
//   kRevoke      the current root leaves the bundles, its key is gone. Gate: no certificate of the
//                current root is valid, and every agent connected has the next root in force. An
//                automatic rotation also waits until every certificate of the current root would
//                have ended: connections made with one that was replaced since may be open, and
//                proxies end them with the root.
//   kRollback    one step back:
//     from prepared      the next root and its key are gone.
//     from distributed   the next root leaves the bundles and is gone. Gate: it never signed, or no
//                        certificate of it is valid any more.
//     from active        the current root signs again; both stay trusted; agents are told to renew
//                        certificates of the next root now.
//     from tainted       certificates of the current root go on as before; the next root signs.
//
// None but kPrepare is made forward while another control plane of the store has another clock.
//
// There is no way back from kRevoke but another rotation.
enum class RotationMove { kPrepare, kDistribute, kActivate, kTaint, kRevoke, kRollback };
absl::string_view RotationMoveName(RotationMove move);
// InvalidArgument lists the names.
absl::StatusOr<RotationMove> ParseRotationMove(absl::string_view name);

// What follows from a record. Pointers are into it.
struct TrustEffect {
  // Signs the certificates of workloads.
  const RootRecord* signer;
  // Signs the control plane's own: the one that agents have trusted longest, so that one which
  // starts with an older bundle file is let in for as long as that is right.
  const RootRecord* server_signer;
  // What bundles hold.
  std::vector<const RootRecord*> trusted;
  // Whose certificates are to be renewed at once; null: nobody's.
  const RootRecord* tainted;
};
TrustEffect EffectOf(const TrustRecord& record);

// Who may hold a certificate, as far as it is known.
struct FleetView {
  // An agent that is connected.
  struct Agent {
    std::string id, address;
    // It has acknowledged bundles with the next root: on this connection, or on an earlier one with
    // the same certificate or one that this one replaced. That they came with its certificate says
    // nothing about its proxy.
    bool trusts_next = false;
    // Of the certificate it has shown.
    std::string root;
    absl::Time not_after;
  };
  // A certificate that no agent connected has shown.
  struct Certificate {
    std::string id;
    std::string root;
    absl::Time not_after;
    // Whoever uses it has bundles with the next root in force: they came with it, and a proxy takes
    // both or neither; or its holder has acknowledged such.
    bool trusts_next = false;
    // Where its holder is connected from, with a certificate that replaced this one and that is not
    // known to be in force; empty: nowhere.
    std::string address = "";
  };
  // Another control plane that cannot be asked, or that knows of more than it tells.
  struct ControlPlane {
    // As ControlPlaneAgent() or ControlPlaneFileAgent() gives it.
    std::string agent;
    std::string reason;
    // Whatever it did has ended by then.
    absl::Time until = absl::InfiniteFuture();
    // Its clock says something else than this one's: a move writes down when it was made, and what
    // later ones wait for follows from that.
    bool other_clock = false;
  };
  std::vector<Agent> agents;
  std::vector<Certificate> absent;
  std::vector<ControlPlane> control_planes;
  // Control planes, this one included, whose file of the trust bundle may lack the next root: what
  // starts by that file would trust nobody once that root signs, or is the only one.
  std::vector<ControlPlane> without_file;
  // Certificates issued before are not in the list; InfinitePast: all are.
  absl::Time complete_since = absl::InfinitePast();
};

// The name under which a control plane keeps a move back.
std::string ControlPlaneAgent(absl::string_view name);
// The same of its file of --trust_bundle_out alone: whoever does not wait for that waits for the
// control plane all the same.
std::string ControlPlaneFileAgent(absl::string_view name);

// What keeps a move back.
struct RotationBlocker {
  // A SPIFFE ID, kUnknownAgents, kOpenConnections, a ControlPlaneAgent() or a
  // ControlPlaneFileAgent().
  std::string agent;
  // Where it is connected from; empty when it is not.
  std::string address;
  std::string reason;
  // It ends by itself then; InfiniteFuture: it does not.
  absl::Time until;
};

// The forward move whose turn it is; with a rotation finished, kPrepare.
RotationMove NextMove(const TrustRecord& record);

// The move an exclusion is for.
RotationMove MoveOf(const RotationExclusion& exclusion);

// Whether an exclusion of `agent` is one of the blocker.
bool NamesBlocker(absl::string_view agent, const RotationBlocker& blocker);

// Whether it is the move's turn; FailedPrecondition says whose it is.
absl::Status CheckTurn(const TrustRecord& record, RotationMove move);

// What keeps `move`, whose turn it is, back at `now`, by agent; empty: nothing does. Whom the
// record excludes from this move is left out.
std::vector<RotationBlocker> BlockersOf(const TrustRecord& record, RotationMove move,
                                        const FleetView& fleet, absl::Time now);

// What `move` will mean, in a sentence for people.
std::string ConsequenceOf(const TrustRecord& record, RotationMove move);

// The record after `move`, whose turn it is and which nothing keeps back. kPrepare takes the next
// root; no other move does.
TrustRecord AfterMove(const TrustRecord& record, RotationMove move, absl::Time now,
                      absl::optional<RootRecord> next = absl::nullopt);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_ROTATION_STEPS_H_
