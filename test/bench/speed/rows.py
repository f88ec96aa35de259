"""The rows of the comparison. Each measures its contenders in turn, again and again, so that what changes on the machine
meanwhile changes for all of them."""

import json
import re
import subprocess
import time

from testing.mesh import http_request
from testing.process import wait_until

from .figures import PEERS, RESUMING, Figure, Target
from .syscalls import SyscallCount
from .world import built

BOTH = ("hbone", "mtls")
# What the load carries in bulk altogether, of what it measures.
WITH_WARM_UP = 1 + 1 / 8


def both(limit, of=PEERS):
    return tuple(Target(key, limit, of) for key in BOTH)


class Row:
    """`run` measures everything once it is called; most rows only say how one contender is measured once."""

    def __init__(self, key, title, contenders, figures):
        self.key, self.title, self.contenders, self.figures = key, title, contenders, figures

    def run(self, bench):
        contenders = []
        for key in self.contenders:
            with bench.attempt(self):
                bench.contenders[key].start()
                contenders.append(bench.contenders[key])
        for repetition in range(bench.repeat):
            # Nobody is always first.
            turn = repetition % max(1, len(contenders))
            values = {}
            for contender in contenders[turn:] + contenders[:turn]:
                with bench.attempt(self):
                    values[contender.key] = self.measure(contender, bench)
            for key, found in self.derive(values).items():
                bench.results.add(self.key, key, found)

    def measure(self, contender, bench):
        """{figure's key: value} of one repetition."""
        raise NotImplementedError

    def derive(self, values):
        """The values of one repetition of all contenders, with what follows from them together."""
        return values


class Bulk(Row):

    def __init__(self, streams, cpu_limit, speed_limit, near_mtls):
        figures = []
        for way, title in (("up", "to the server"), ("down", "from the server")):
            near_cpu = (Target("hbone", 1.1, ("mtls",)),) if near_mtls else ()
            near_speed = (Target("hbone", 0.9, ("mtls",)),) if near_mtls else ()
            figures += [Figure(f"cpu_{way}", f"CPU {title}", "s/GB", False, both(cpu_limit) + near_cpu, True),
                        Figure(f"speed_{way}", f"throughput {title}", "GB/s", True, both(speed_limit) + near_speed)]
        super().__init__(f"bulk{streams}", f"Bulk, {streams} stream{'s' * (streams > 1)}",
                         ("direct", "passthrough", *BOTH, *PEERS), figures)
        self.streams = streams

    def measure(self, contender, bench):
        found = {}
        for way in ("up", "down"):
            sample = bench.load.run(contender, "bulk", f"--direction={way}", f"--connections={self.streams}",
                                    f"--bytes={bench.bulk_bytes}", target="bulk")
            found[f"cpu_{way}"] = sample.cpu / (bench.bulk_bytes / 1e9)
            found[f"speed_{way}"] = bench.bulk_bytes / 1e9 / sample.seconds
        return found


class Short(Row):

    def __init__(self, at_once):
        p99 = (Target("hbone", 0.15, PEERS),) if at_once == 16 else ()
        super().__init__(
            f"short{at_once}", f"Short connections (connect, 64 B, 64 B, close), {at_once} at once",
            ("direct", *BOTH, *PEERS, *RESUMING),
            [Figure("rate", "connections", "/s", True,
                    (Target("hbone", 8, PEERS), Target("hbone", 5, RESUMING), Target("mtls", 2, PEERS))),
             Figure("cpu", "CPU per 1 000", "ms", False, (Target("hbone", 0.12, PEERS), Target("mtls", 0.45, PEERS)), True),
             Figure("p50", "p50 of a connection", "ms"),
             Figure("p99", "p99 of a connection", "ms", False, p99, at_once == 16)])
        self.at_once = at_once

    def measure(self, contender, bench):
        sample = bench.load.run(contender, "connect", f"--connections={self.at_once}", "--size=64", *bench.window)
        return {"rate": sample.operations / sample.seconds, "cpu": sample.cpu * 1e6 / sample.operations,
                "p50": sample.latency["p50"] / 1000, "p99": sample.latency["p99"] / 1000}


class Request(Row):

    def __init__(self, connections):
        latency = both(0.75) if connections == 16 else ()
        super().__init__(
            f"request{connections}", f"1 KB requests, {connections} lasting connection{'s' * (connections > 1)}",
            ("direct", "passthrough", *BOTH, *PEERS),
            [Figure("rate", "requests", "/s", True),
             Figure("cpu", "CPU per request", "µs", False, both(0.7), True),
             Figure("p50", "p50", "µs", False, latency, connections == 16),
             Figure("p99", "p99", "µs", False, latency, connections == 16),
             Figure("delayed", "samples between 35 and 50 ms", "", False, both(0, ()))])
        self.connections = connections

    def measure(self, contender, bench):
        sample = bench.load.run(contender, "request", f"--connections={self.connections}", "--size=1024", *bench.window)
        return {"rate": sample.operations / sample.seconds, "cpu": sample.cpu * 1e6 / sample.operations,
                "p50": sample.latency["p50"], "p99": sample.latency["p99"], "delayed": sample.delayed}


class FixedRate(Row):
    """What a proxy adds to the latency where nobody is at his limit."""

    RATE, CONNECTIONS = 2000, 16

    def __init__(self):
        super().__init__(
            "fixed", "1 KB requests at 2 000/s over 16 lasting connections", ("direct", *BOTH, *PEERS),
            [Figure("added_p50", "p50 added to direct", "µs", False, both(0.8), True),
             Figure("added_p99", "p99 added to direct", "µs", False, both(0.8), True),
             Figure("p50", "p50", "µs"), Figure("p99", "p99", "µs"),
             Figure("cpu", "CPU per request", "µs"),
             Figure("delayed", "samples between 35 and 50 ms", "", False, both(0, ()))])

    def measure(self, contender, bench):
        sample = bench.load.run(contender, "request", f"--connections={self.CONNECTIONS}", "--size=1024",
                                f"--rate={self.RATE}", "--warm_up=300ms", f"--window={bench.fixed_window:g}s")
        return {"p50": sample.latency["p50"], "p99": sample.latency["p99"],
                "cpu": sample.cpu * 1e6 / sample.operations, "delayed": sample.delayed}

    def derive(self, values):
        for key, found in values.items():
            if key != "direct" and "direct" in values:
                for quantile in ("p50", "p99"):
                    found[f"added_{quantile}"] = found[quantile] - values["direct"][quantile]
        return values


class Rest(Row):
    """Memory of processes that have just started. The first row: later a program runs more often, and its pages count as
    fractions."""

    def __init__(self):
        super().__init__("rest", "Idle processes, PSS", ("hbone", *PEERS),
                         [Figure("proxy", "proxy", "MiB", False, (Target("hbone", 6),)),
                          Figure("agent", "agent", "MiB", False, (Target("hbone", 20),))])

    def run(self, bench):
        for key in self.contenders:
            contender = bench.contenders[key]
            with bench.attempt(self):
                contender.start()
                time.sleep(bench.settle)
                for side in ("client", "server"):
                    bench.results.add(self.key, key, {"proxy": contender.memory(side) / 2**20})
                for agent in contender.agents():
                    bench.results.add(self.key, key, {"agent": agent.memory_kib() / 1024})


class Held:
    """Connections held open through a contender, more and more of them; a context manager that ends them."""

    def __init__(self, contender, bench):
        self.contender, self.bench, self.count = contender, bench, 0
        self._holders = []
        contender.start()
        # What the first connections make stays.
        first = bench.load.hold(contender, 20)
        time.sleep(bench.settle)
        self._base = {side: contender.memory(side) for side in ("client", "server")}
        first.kill()

    def grow_to(self, count):
        """Opens what is missing; {side: bytes of PSS for each}."""
        self._holders.append(self.bench.load.hold(self.contender, count - self.count))
        self.count = count
        time.sleep(self.bench.settle)
        return {side: (self.contender.memory(side) - base) / count for side, base in self._base.items()}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for holder in self._holders:
            holder.end()
        # Their ends are not to be part of what is measured next.
        time.sleep(self.bench.settle)


class Idle(Row):

    COUNTS = (2000, 9000)

    def __init__(self):
        limits = (Target("hbone", 4096), Target("mtls", 8192))
        super().__init__("idle", "Idle connections, PSS of each", (*BOTH, *PEERS),
                         [Figure(f"{side}_{count}", f"of {count}, {side} side", "bytes", False, limits,
                                 count == self.COUNTS[-1])
                          for count in self.COUNTS for side in ("client", "server")])

    def run(self, bench):
        for key in self.contenders:
            with bench.attempt(self), Held(bench.contenders[key], bench) as held:
                for count in bench.counts(self.COUNTS):
                    memory = held.grow_to(count)
                    bench.results.add(self.key, key, {f"{side}_{count}": value for side, value in memory.items()})


class Handshakes(Row):
    """Full mutual handshakes for each second of CPU, both ends of it: what BoringSSL alone does, and what comes of it between
    sockets, with the key in another process."""

    GROUPS = {"boringssl_x25519": "X25519", "boringssl_mlkem": "X25519MLKEM768"}

    def __init__(self):
        super().__init__("handshakes", "Full mutual handshakes, a connection each",
                         ("mtls", *PEERS), [
                             Figure("rate", "for each second of CPU", "/s", True,
                                    (Target("mtls", 0.6, ("boringssl_mlkem",)),)),
                             Figure("agent", "the agents' part of the CPU", "%")])

    def measure(self, contender, bench):
        sample = bench.load.run(contender, "connect", "--connections=16", "--size=64", *bench.window)
        found = {"rate": sample.operations / sample.cpu}
        if contender.agents():
            found["agent"] = 100 * sample.agents / sample.cpu
        return found

    def run(self, bench):
        super().run(bench)
        files = bench.peer_files()
        for _ in range(bench.repeat):
            done = _json_of(built("test", "bench", "handshake_bench"), f"--cert={files.path('client.crt')}",
                            f"--key={files.path('client.key')}", f"--roots={files.roots}", f"--time={bench.short_window:g}s")
            for key, group in self.GROUPS.items():
                bench.results.add(self.key, key, {"rate": done[group]["handshakes"] / done[group]["cpu_seconds"]})


class Syscalls(Row):
    """System calls of a proxy, the mean of both sides, agents included. Counted, so once is enough, on any machine."""

    def __init__(self):
        near_ideal = both(1.2, ())
        super().__init__("syscalls", "System calls of one proxy", ("passthrough", *BOTH, *PEERS),
                         [Figure("up", "16 KiB to the server, 8 streams", "", False, near_ideal),
                          Figure("down", "16 KiB from the server, 8 streams", "", False, near_ideal),
                          Figure("request", "1 KB request, 16 lasting connections", ""),
                          Figure("short", "short connection, 16 at once", "")])

    def run(self, bench):
        for key in self.contenders:
            with bench.attempt(self):
                bench.results.add(self.key, key, self.measure(bench.contenders[key], bench))

    def measure(self, contender, bench):
        contender.start()
        found = {}
        for way in ("up", "down"):
            calls, _ = self.counted(contender, bench, "bulk", f"--direction={way}", "--connections=8",
                                    f"--bytes={bench.bulk_bytes}", target="bulk")
            found[way] = calls / (bench.bulk_bytes * WITH_WARM_UP / 16384)
        for figure, workload, size in (("request", "request", 1024), ("short", "connect", 64)):
            calls, sample = self.counted(contender, bench, workload, "--connections=16", f"--size={size}",
                                         bench.window[0], "--warm_up=0")
            found[figure] = calls / sample.completed
        return found

    @staticmethod
    def counted(contender, bench, *words, **options):
        """(calls of one side from the first connection to the last one's end, Sample)"""
        with SyscallCount(contender.processes()) as count:
            sample = bench.load.run(contender, *words, **options)
            return count.total() / 2, sample


class Start(Row):

    STARTS = 9

    def __init__(self):
        super().__init__("start", "From exec to ready, the agent having its certificate", ("hbone",),
                         [Figure("time", "proxy", "ms", False, (Target("hbone", 50),))])

    def run(self, bench):
        contender = bench.contenders["hbone"]
        contender.start()
        pod = contender.pods["client"]
        for _ in range(self.STARTS):
            # Not asked to end: it would wait for connections of earlier rows.
            pod.proxy.kill()
            begun = time.monotonic()
            pod.start_proxy()
            wait_until(lambda: self.ready(pod), 20, "the proxy's readiness", every=0.001)
            bench.results.add(self.key, contender.key, {"time": (time.monotonic() - begun) * 1000})

    @staticmethod
    def ready(pod):
        try:
            return http_request(pod.host, 15021, "/healthz/ready", address=pod.address, timeout=1)[0] == 200
        except OSError:
            return False


class Scaling(Row):
    """What one more connection costs among many, and a decision among many workloads and policies."""

    COUNTS = (100, 1000, 9000)
    DECISIONS = {
        "lookup": ("routing_table_bench", "BM_FindWorkload"),
        "resolve": ("routing_table_bench", "BM_ResolveService/1000"),
        "authorize": ("authorizer_bench", "BM_Authorize"),
    }

    def __init__(self):
        figures = []
        for count in self.COUNTS:
            figures.append(Figure(f"cpu_{count}", f"CPU of a connection beside {count}", "µs"))
        for count in self.COUNTS[1:]:
            figures.append(Figure(f"growth_{count}", f"beside {count}, of that beside {self.COUNTS[0]}", "×", False,
                                  both(1.1, ())))
        figures += [Figure("lookup", "lookup among 100 000 workloads", "ns", False, (Target("hbone", 1000),)),
                    Figure("resolve", "endpoint of a service among them", "ns", False, (Target("hbone", 1000),)),
                    Figure("authorize", "authorisation among 10 000 policies", "ns", False, (Target("hbone", 2000),))]
        super().__init__("scaling", "Scaling", BOTH, figures)

    def run(self, bench):
        for key in self.contenders:
            contender = bench.contenders[key]
            medians = {}
            with bench.attempt(self), Held(contender, bench) as held:
                for count in bench.counts(self.COUNTS):
                    held.grow_to(count)
                    samples = [bench.load.run(contender, "connect", "--connections=16", "--size=64", *bench.window)
                               for _ in range(bench.repeat)]
                    for sample in samples:
                        bench.results.add(self.key, key, {f"cpu_{count}": sample.cpu * 1e6 / sample.operations})
                    medians[count] = bench.results.medians(self.key, f"cpu_{count}")[key]
            for count in list(medians)[1:]:
                bench.results.add(self.key, key, {f"growth_{count}": medians[count] / medians[self.COUNTS[0]]})
        for figure, (program, name) in self.DECISIONS.items():
            done = _json_of(built("test", "bench", program), f"--benchmark_filter=^{re.escape(name)}$",
                            "--benchmark_format=json", "--benchmark_min_time=0.2", f"--benchmark_repetitions={bench.repeat}")
            for run in done["benchmarks"]:
                if run["run_type"] == "iteration":
                    bench.results.add(self.key, "hbone", {figure: run["cpu_time"]})


def _json_of(*argv):
    return json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=120).stdout)


def all_rows():
    """In the order in which they are measured."""
    return [Rest(), Bulk(1, 0.45, 1.8, False), Bulk(8, 0.55, 1.5, True), Short(1), Short(16), Short(64),
            Request(1), Request(16), Request(64), FixedRate(), Idle(), Handshakes(),
            Syscalls(), Start(), Scaling()]
