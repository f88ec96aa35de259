#!/usr/bin/python3
"""Runs the integration tests: every *_test.py beside this file and in ../interop, or those named; needs root and the built
binaries.

    run.py [--jobs N] [--sanitized] [NAME...]     NAME: part of a file's name

Files run a few at a time: N that work, and one beside them that mostly waits; those that measure shares of the CPU or
percentiles of latency run alone.

Prints one line per test, the logs of what failed, and ends with "N passed, N failed". Exit 1 if one failed. A file that
fails runs once more by itself at the end, because others share the machine, and what it measured may have been their load;
that run is the one that counts, and the last line but one names the files that needed it.
"""

import argparse
import collections
import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from testing import sanitized
from testing.interruption import Interrupted, unwind_on_signals

FOLDERS = (HERE, os.path.join(os.path.dirname(HERE), "interop"))
# No file takes longer when all is well; one that hangs is ended and counts as failed.
FILE_DEADLINE = 300
# Longest first, so that the last minutes are not spent on one of them alone.
LONGEST = ("kubernetes_pods_test.py", "kubernetes_replicas_test.py", "kubernetes_restored_test.py", "replicas_test.py", "image_test.py", "short_connections_test.py", "private_key_test.py",
           "bad_authority_test.py", "reset_matrix_test.py", "full_duplex_test.py", "redirect_narrow_test.py",
           "istio_ca_test.py", "limits_test.py", "redirect_squatter_test.py", "redirect_watch_test.py", "redirect_test.py",
           "recorder_test.py", "stale_endpoint_test.py", "file_sink_test.py", "hostile_tls_test.py", "redirect_older_test.py",
           "drain_storm_test.py", "workload_rotation_test.py")
# What these do is mostly to wait, for certificates to age or for time limits: they take little from what runs beside them.
WAITING = ("flows_test.py", "demo_test.py", "dead_peer_test.py", "first_word_test.py", "lifetimes_test.py",
           "half_close_matrix_test.py", "quiet_half_close_test.py",
           "direct_mtls_rotation_test.py", "rotation_test.py", "broken_certificate_test.py", "lost_conntrack_test.py",
           "control_plane_outage_test.py", "ca_outage_test.py", "ca_endpoints_test.py", "identity_expiry_test.py", "proven_anew_test.py",
           "proven_at_limits_test.py", "probe_test.py", "strict_first_bytes_test.py", "stuck_reader_reset_test.py")
# What these measure is the machine's when another file runs beside them: one by one, after the others.
ALONE = ("trust_rotation_fleet_test.py", "many_rotations_test.py", "many_stalled_readers_test.py", "bulk_beside_small_test.py", "handshake_flood_test.py",
         "idle_memory_test.py", "metrics_scale_test.py", "discovery_scale_test.py")

# These are of the image, which is of what people get: its static programs are none with a sanitizer in them, and what that reports
# would not leave the containers.
OF_THE_IMAGE = ("image_test.py", "image_registry_test.py", "kubernetes_dual_stack_test.py", "kubernetes_ipv6_test.py", "kubernetes_pods_test.py",
                "kubernetes_pods_cleanup_test.py", "kubernetes_replicas_test.py",
                "kubernetes_sample_test.py")
# libfaketime gives these their clocks, and hangs where a sanitizer's runtime is.
OF_ANOTHER_CLOCK = ("clock_jump_test.py", "clock_offset_test.py", "replica_clock_test.py", "rotation_clock_test.py")

_print_lock = threading.Lock()
_running = set()


def run_file(path, deadline):
    """(passed, failed) of one file."""
    started = time.monotonic()
    name = os.path.basename(path)
    process = subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               errors="replace")
    _running.add(process)
    try:
        output, _ = process.communicate(timeout=deadline)
        note = f"exit {process.returncode}"
    except subprocess.TimeoutExpired:
        # First it shows where it hangs; SIGTERM lets it clean up.
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        process.terminate()
        try:
            output, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            try:
                output, _ = process.communicate(timeout=5)
            except subprocess.TimeoutExpired as held:
                # By something it has started and left behind; that is no reason to wait.
                output = held.output or ""
                output = output if isinstance(output, str) else output.decode(errors="replace")
                process.stdout.close()
        note = f"no end within {deadline} s"
    finally:
        _running.discard(process)
    passed = len(re.findall(r"^PASS ", output, re.M))
    failed = len(re.findall(r"^FAIL ", output, re.M))
    if process.returncode != 0 and failed == 0:
        output += f"FAIL {name} {note}\n"
        failed = 1
    if process.returncode == 0 and passed == 0:
        output += f"FAIL {name} no test in it\n"
        failed = 1
    with _print_lock:
        shown = output if failed else "".join(line for line in output.splitlines(True) if line.startswith("PASS "))
        sys.stdout.write(shown)
        print(f"     {name}: {passed} passed, {failed} failed, {time.monotonic() - started:.0f} s", flush=True)
    return passed, failed


def run_all(lanes, deadline):
    """{path: (passed, failed)} of files run in lanes side by side, each a list of queues: it takes from the first that has
    something left, until all are empty."""
    results = {}

    def run_lane(queues):
        while queue := next(filter(None, queues), None):
            try:
                path = queue.popleft()
            except IndexError:
                continue  # Another lane was faster.
            results[path] = run_file(path, deadline)
    pool = concurrent.futures.ThreadPoolExecutor(len(lanes))
    try:
        for lane in [pool.submit(run_lane, queues) for queues in lanes]:
            lane.result()
    except BaseException:
        for queues in lanes:
            for queue in queues:
                queue.clear()
        for process in list(_running):
            process.terminate()
        raise
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="files that run at the same time, one that mostly waits not counted")
    parser.add_argument("--sanitized", action="store_true",
                        help="the binaries are compiled for a sanitizer: judge no memory and no speed, and make no image of them")
    parser.add_argument("names", nargs="*", help="run only files whose name contains one of these")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("error: network namespaces need root; run this as root or with sudo")
    files = {}
    for folder in FOLDERS:
        for name in sorted(os.listdir(folder)):
            if name.endswith("_test.py") and (not options.names or any(part in name for part in options.names)):
                if name in files:
                    sys.exit(f"error: {files[name]} and {os.path.join(folder, name)} have one name; rename one")
                files[name] = os.path.join(folder, name)
    deadline = FILE_DEADLINE
    if options.sanitized:
        for name in OF_THE_IMAGE + OF_ANOTHER_CLOCK:
            files.pop(name, None)
        os.environ[sanitized.VARIABLE] = "1"
        deadline *= 2
    started = time.monotonic()
    unwind_on_signals()
    working = collections.deque(files[name] for name in sorted(
        files, key=lambda name: LONGEST.index(name) if name in LONGEST else len(LONGEST)) if name not in WAITING + ALONE)
    waiting = collections.deque(files[name] for name in WAITING if name in files)
    results = run_all([[working, waiting]] * options.jobs + [[waiting]], deadline)
    results.update(run_all([[collections.deque(files[name] for name in ALONE if name in files)]], deadline))
    again = [path for path, (_, failed) in results.items() if failed]
    if again:
        print("     once more, by themselves: " + " ".join(os.path.basename(path) for path in again), flush=True)
        results.update(run_all([[collections.deque(again)]], deadline))
    passed = sum(result[0] for result in results.values())
    failed = sum(result[1] for result in results.values())
    print(f"     {len(results)} files in {(time.monotonic() - started) / 60:.1f} minutes")
    if again:
        print("needed a second run: " + " ".join(os.path.basename(path) for path in again))
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Interrupted as interruption:
        sys.exit(interruption.exit_code)
