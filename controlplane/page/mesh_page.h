#ifndef BYRNIE_CONTROLPLANE_PAGE_MESH_PAGE_H_
#define BYRNIE_CONTROLPLANE_PAGE_MESH_PAGE_H_

#include <functional>
#include <string>

#include "common/base/clock.h"
#include "common/http/http_message.h"
#include "controlplane/page/mesh_state.h"
#include "controlplane/page/state_gatherer.h"

namespace byrnie {

// The mesh page and what it shows. The page is one document that asks nobody but where it came
// from, and its policy (CSP) says so: nothing runs in it but its own script, and nothing in it
// leads elsewhere. Lives on one event loop, which never waits for it.
class MeshPage {
 public:
  // `gather` makes the state of now, on a thread of the page's own. The clock outlives it.
  MeshPage(const Clock* clock, std::function<MeshState()> gather);
  MeshPage(const MeshPage&) = delete;
  MeshPage& operator=(const MeshPage&) = delete;

  // "/mesh".
  HttpResponse Page();
  // "/mesh.json": of the last seconds; 503 while there is nothing as new, to be asked again.
  HttpResponse State();

 private:
  const std::string html_;
  const std::string policy_;
  StateGatherer gatherer_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_PAGE_MESH_PAGE_H_
