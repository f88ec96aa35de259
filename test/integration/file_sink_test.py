#!/usr/bin/python3
"""Applications that read files find the pod's certificate in them, whatever the disk does.

Proved on the real agent: the files are a matching pair that `openssl` verifies against ca.crt, nobody but their owner and group can read them, and
each rotation replaces them at once and tells the application, by signal and by command. A full disk, a read-only one and what a killed agent
left half-written cost the mesh nothing, raise the alarm metric, and are made good by themselves. (A thousand kills in the middle of
writing: certagent/sink/sink_directory_test.cc.) Without the flag no file is written.
"""

import os
import stat
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from testing.case import MeshTestCase, main
from testing.certificates import leaf_facts, served_leaf
from testing.mesh import PROXY_UID, parse_metrics
from testing.netns import run
from testing.process import wait_until

APPLICATION_GROUP = 4711


class FileSinkTest(MeshTestCase):

    @classmethod
    def build(cls):
        cls.client, cls.server = cls.mesh.pod("client"), cls.mesh.pod("server")
        cls.files = cls.client.make_agent_directory("files")
        cls.disk = cls.client.make_agent_directory("disk")
        cls.pid_file = os.path.join(cls.files, "application.pid")
        cls.hook = os.path.join(cls.client.directory, "hook")
        with open(cls.hook, "w", encoding="ascii") as script:
            script.write(f"#!/bin/sh\nopenssl x509 -noout -serial -in {cls.files}/tls/tls.crt >>{cls.files}/told.\"$1\"\n")
        os.chmod(cls.hook, 0o755)
        # A disk of 64 KiB, of its own.
        run("mount", "-t", "tmpfs", "-o", f"size=64k,mode=0700,uid={PROXY_UID},gid={PROXY_UID}", "tmpfs", cls.disk)
        cls.client.extra_agent_flags = [f"--file_sink={cls.files}/tls", f"--file_sink_signal={cls.pid_file}:USR1",
                                        f"--file_sink_command={cls.hook} argument"]
        cls.server.extra_agent_flags = [f"--file_sink={cls.disk}/tls"]
        # The server's agent writes to the small disk, the client's to the large one.
        os.chown(cls.disk, PROXY_UID, PROXY_UID)
        cls.mesh.vip, _ = cls.mesh.service("echo", [cls.server])
        cls.mesh.start()
        cls.server.app("echo", 8080)
        cls.probe = cls.mesh.outsider()

    @classmethod
    def tearDownClass(cls):
        for pod in (cls.client, cls.server):
            pod.agent.end()
        run("umount", cls.disk, check=False)
        super().tearDownClass()

    def openssl(self, *argv):
        return subprocess.run(["openssl", *argv], capture_output=True, text=True, check=True).stdout

    def serial_in(self, directory):
        return self.openssl("x509", "-noout", "-serial", "-in", f"{directory}/tls/tls.crt").strip().split("=")[1].lower()

    def assert_pair(self, directory):
        """Certificate and key belong together, and the roots verify the certificate."""
        tls = f"{directory}/tls"
        self.assertEqual(self.openssl("x509", "-noout", "-pubkey", "-in", f"{tls}/tls.crt"),
                         self.openssl("pkey", "-pubout", "-in", f"{tls}/tls.key"))
        self.openssl("verify", "-purpose", "sslclient", "-CAfile", f"{tls}/ca.crt", f"{tls}/tls.crt")

    def metrics(self, pod):
        return parse_metrics(pod.agent_admin("/metrics")[1])

    def writes(self, pod, result):
        return self.metrics(pod)[f'byrnie_certagent_file_sink_writes_total{{result="{result}"}}']

    def rotate(self, pod):
        """A new certificate in force in the proxy; returns its serial."""
        before = leaf_facts(served_leaf(self.probe, pod.address))["serial"]
        wait_until(lambda: pod.agent_admin("/renew", "POST")[0] == 202, 5, "a renewal")

        def after():
            serial = leaf_facts(served_leaf(self.probe, pod.address))["serial"]
            return serial if serial != before else None
        return wait_until(after, 10, "the new certificate", every=0.1)

    def test_each_rotation_replaces_the_files_and_tells_the_application(self):
        application = subprocess.Popen([sys.executable, "-c", (
            "import signal, sys\nsignal.signal(signal.SIGUSR1, lambda *_: print('told', flush=True))\n"
            "print('ready', flush=True)\nwhile True: signal.pause()")], stdout=subprocess.PIPE, text=True, user=PROXY_UID, group=PROXY_UID)
        try:
            self.assertEqual(application.stdout.readline(), "ready\n")
            with open(self.pid_file, "w", encoding="ascii") as out:
                out.write(f"{application.pid}\n")
            for _ in range(3):
                serial = self.rotate(self.client)
                wait_until(lambda s=serial: self.serial_in(self.files) == s, 5, "the files' rotation")
                self.assert_pair(self.files)
                self.assertEqual(application.stdout.readline(), "told\n")
                wait_until(lambda s=serial: s in open(f"{self.files}/told.argument", encoding="ascii").read().lower(), 5,
                           "the command's run")
        finally:
            application.kill()
            application.wait()
            application.stdout.close()
        # A hook that fails is counted, and changes nothing.
        before = self.metrics(self.client)
        serial = self.rotate(self.client)
        name = 'byrnie_certagent_file_sink_hooks_total{result="failed"}'
        wait_until(lambda: self.metrics(self.client)[name] == before[name] + 1, 5, "a failed hook")
        self.assertEqual(self.serial_in(self.files), serial)
        self.assertEqual(self.metrics(self.client)["byrnie_certagent_file_sink_failing"], 0)

    def test_only_the_owner_reads(self):
        for path, mode in ((f"{self.files}/tls", 0o700), (f"{self.files}/tls/tls.key", 0o600), (f"{self.files}/tls/tls.crt", 0o600)):
            facts = os.stat(path)
            self.assertEqual((stat.S_IMODE(facts.st_mode), facts.st_uid), (mode, PROXY_UID), path)

    def test_a_disk_that_is_full_or_read_only_costs_nothing_but_the_files(self):
        wait_until(lambda: self.writes(self.server, "written") >= 1, 5, "the first files")
        for name, spoil, mend in (
                ("full", self.fill, lambda: os.unlink(f"{self.disk}/ballast")),
                ("read-only", lambda: run("mount", "-o", "remount,ro", self.disk), lambda: run("mount", "-o", "remount,rw", self.disk))):
            with self.subTest(disk=name):
                kept = self.serial_in(self.disk)
                failed = self.writes(self.server, "failed")
                spoil()
                try:
                    serial = self.rotate(self.server)
                    wait_until(lambda f=failed: self.writes(self.server, "failed") > f, 5, "a failed write")
                    self.assertEqual(self.metrics(self.server)["byrnie_certagent_file_sink_failing"], 1)
                    self.assertEqual(self.serial_in(self.disk), kept, "the files did not keep what they had")
                    self.assert_pair(self.disk)
                    # The mesh has the new certificate, and the agent is as ready as ever.
                    self.assertEqual(self.ask(self.client, self.mesh.vip, 80), b"ping\n")
                    self.assertEqual(self.server.agent_admin("/healthz/ready")[0], 200)
                finally:
                    mend()
                wait_until(lambda s=serial: self.serial_in(self.disk) == s, 10, "the files' recovery")
                self.assert_pair(self.disk)
                self.assertEqual(self.metrics(self.server)["byrnie_certagent_file_sink_failing"], 0)
        said = [record for record in self.server.agent.log_records() if "not written to files" in record["message"]]
        self.assertGreaterEqual(len(said), 2)
        self.assertEqual(said[0]["level"], "error")

    def fill(self):
        with open(f"{self.disk}/ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4096))
            except OSError:
                pass

    def test_a_killed_agent_leaves_nothing_that_a_new_one_trips_over(self):
        tls = f"{self.files}/tls"
        self.client.agent.kill()
        # Half a content, and the link of a swap that did not come about.
        torn = f"{tls}/..byrnie-77"
        os.mkdir(torn, 0o700)
        with open(f"{torn}/tls.key", "w", encoding="ascii") as out:
            out.write("-----BEGIN PRIV")
        os.symlink("..byrnie-77", f"{tls}/..data_tmp")
        for path in (torn, f"{torn}/tls.key"):
            os.chown(path, PROXY_UID, PROXY_UID)
        before = self.serial_in(self.files)
        self.assert_pair(self.files)
        self.client.write_token()
        self.client.start_agent()
        wait_until(lambda: self.serial_in(self.files) != before, 10, "the new agent's files")
        self.assert_pair(self.files)
        wait_until(lambda: not os.path.exists(torn), 10, "the removal of what was torn")
        self.client.wait_ready()

    def test_owner_and_group_are_as_told(self):
        directory = self.client.make_agent_directory("shared")
        argv = [word for word in self.client.agent_arguments()
                if not word.startswith(("--link_socket", "--admin", "--file_sink", "--token"))]
        self.client.write_token()
        argv += [f"--link_socket={self.client.link_directory}/other.sock", "--admin=127.0.0.1:25010",
                 f"--token={self.client.token}", f"--file_sink={directory}/tls", f"--file_sink_owner=:{APPLICATION_GROUP}"]
        agent = self.mesh.spawn("shared-agent", self.client.host, argv, self.mesh.log_path("shared-agent"), uid=PROXY_UID,
                                capabilities=["chown"])
        wait_until(lambda: os.path.exists(f"{directory}/tls/tls.key"), 10, "the files")
        key = os.stat(f"{directory}/tls/tls.key")
        self.assertEqual((stat.S_IMODE(key.st_mode), key.st_uid, key.st_gid), (0o640, PROXY_UID, APPLICATION_GROUP))
        folder = os.stat(f"{directory}/tls/..data/")
        self.assertEqual((stat.S_IMODE(folder.st_mode), folder.st_gid), (0o750, APPLICATION_GROUP))
        self.assertEqual(agent.terminate(), 0)

    def test_bad_flags_are_named(self):
        for flags, word in ((["--file_sink_signal=/run/x:HUP"], "--file_sink"), (["--file_sink=relative"], "absolute"),
                            (["--file_sink=/tmp/x", "--file_sink_signal=/run/x:KILL"], "KILL"),
                            (["--file_sink=/tmp/x", "--file_sink_command=reload"], "absolute"),
                            (["--file_sink=/tmp/x", "--file_sink_owner=root"], "root"),
                            (["--file_sink=/tmp/x", "--file_sink_owner=4294967295"], "no user"),
                            (["--file_sink=/tmp/x", "--file_sink_owner=:4294967295"], "--file_sink_owner")):
            argv = [word for word in self.server.agent_arguments() if not word.startswith("--file_sink")]
            done = self.server.host.run(*argv, *flags, uid=PROXY_UID, check=False)
            self.assertEqual(done.returncode, 2, flags)
            self.assertIn(word, done.stderr, flags)


if __name__ == "__main__":
    sys.exit(main())
