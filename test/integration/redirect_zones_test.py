#!/usr/bin/python3
"""A kernel whose connection tracking has no zones gets the same rules but for the one that needs them, and says so.

Proved with a library in front of libnftables that refuses zones as such a kernel does: `apply` warns and succeeds, `check`,
`watch` and a repair agree with it, and connections are taken and let through. With zones there is no warning.
"""

import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import main
from testing.mesh import PROXY_UID
from testing.process import wait_until
from testing.redirect_case import RedirectCase

NO_ZONES = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
static int refused;
int nft_run_cmd_from_buffer(void *context, const char *buffer) {
  int (*next)(void *, const char *) = (int (*)(void *, const char *))dlsym(RTLD_NEXT, "nft_run_cmd_from_buffer");
  refused = strstr(buffer, "zone set") != 0;
  return refused ? -1 : next(context, buffer);
}
const char *nft_ctx_get_error_buffer(void *context) {
  const char *(*next)(void *) = (const char *(*)(void *))dlsym(RTLD_NEXT, "nft_ctx_get_error_buffer");
  return refused ? "<cmdline>:3:3-9: Error: Could not process rule: Operation not supported\\n" : next(context);
}
"""


class RedirectZonesTest(RedirectCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        library = os.path.join(cls.directory.name, "no_zones.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, "-x", "c", "-"], input=NO_ZONES, text=True, check=True)
        cls.without = ["env", f"LD_PRELOAD={library}", f"ASAN_OPTIONS={os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0"]

    def run_without_zones(self, *arguments):
        return self.pod.run(*self.without, self.mesh.binary("byrnie-redirect"), *arguments, check=False)

    def rules(self):
        return self.pod.run("nft", "list", "ruleset").stdout

    def assert_taken(self):
        with self.pod.listen(15001, uid=PROXY_UID) as proxy, self.peer.listen(8080) as server:
            with self.pod.connect(self.peer.address, 8080) as near, self.pod.accept(proxy, PROXY_UID) as taken:
                self.assert_flows(near, taken)
            with self.pod.connect(self.peer.address, 8080, uid=PROXY_UID) as own, server.accept()[0] as theirs:
                self.assert_flows(own, theirs)

    def test_the_rest_of_the_rules_is_in_place(self):
        applied = self.run_without_zones("apply")
        self.assertEqual(applied.returncode, 0, applied.stderr)
        self.assertIn("warning: this kernel is built without CONFIG_NF_CONNTRACK_ZONES", applied.stderr)
        self.assertNotIn("zone", self.rules())
        checked = self.run_without_zones("check")
        self.assertEqual((checked.returncode, checked.stdout, checked.stderr), (0, "", ""))
        self.assert_taken()

    def test_watch_repairs_to_those(self):
        self.run_without_zones("apply")
        whole = self.rules()
        watch = self.mesh.spawn("watch", self.pod, [*self.without, self.mesh.binary("byrnie-redirect"), "watch"],
                                self.mesh.log_path("watch"))
        self.addCleanup(watch.end)
        wait_until(lambda: "byrnie_held" in self.rules(), 5, "the watch")
        warned = [record["message"] for record in watch.log_records() if record["level"] == "warning"]
        self.assertEqual(len(warned), 1)
        self.assertIn("CONFIG_NF_CONNTRACK_ZONES", warned[0])
        self.pod.run("nft", "delete", "table", "inet", "byrnie")
        wait_until(lambda: whole in self.rules(), 5, "the repair")
        self.assertNotIn("zone", self.rules())

    def test_a_kernel_with_zones_is_not_warned_of(self):
        applied = self.redirect("apply")
        self.assertNotIn("warning", applied.stderr)
        self.assertIn("ct original zone set 15001", self.rules())
        self.assertEqual(self.redirect("check").stdout, "")


if __name__ == "__main__":
    sys.exit(main())
