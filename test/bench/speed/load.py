"""Runs the load's clients, and adds up what a window took."""

import os
import resource
import time

from testing.netns import APPLICATION_UID
from testing.process import wait_until

_TICKS = os.sysconf("SC_CLK_TCK")


def machine_seconds():
    """CPU time that this machine has been busy for, interrupts and what the host took included."""
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS


def process_seconds(processes):
    """CPU time of processes from their clocks: to the nanosecond, ended threads included."""
    # MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of the kernel, which clock_getcpuclockid() returns.
    return sum(time.clock_gettime((~process.pid << 3) | 2) for process in processes)


class Sample:
    """What one run of a client has found. CPU times are those of the window, in seconds."""

    def __init__(self, contender, report, foreign):
        cpu = {int(pid): seconds for pid, seconds in report["cpu_seconds"].items()}
        self.report = report
        self.seconds = report["seconds"]
        self.operations = report.get("operations", 0)
        # Before and after the window too.
        self.completed = report.get("completed", 0)
        self.latency = report.get("latency_us", {})
        self.delayed = report.get("between_35_and_50_ms", 0)
        self.agents = sum(cpu[process.pid] for process in contender.agents())
        # Of all that stands between client and server: both sides, agents included.
        self.cpu = sum(cpu[process.pid] for process in contender.processes())
        self.load = report["own_cpu_seconds"] + cpu[contender.load_server.pid]
        # The part of all CPUs that was taken by what has no part in this, warm-up included.
        self.foreign = foreign


class Load:
    """Runs clients of the load beside contenders; keeps how disturbed they were."""

    def __init__(self, world):
        self.world = world
        self.foreign = []

    def run(self, contender, workload, *flags, target="echo", deadline=90):
        """One client to its end; a Sample. AssertionError when a connection failed or an answer was wrong."""
        contender.start()
        counted = contender.processes() + [contender.load_server]
        busy, counted_before = machine_seconds(), process_seconds(counted)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        process = self._spawn(contender, workload, *flags, f"--cpu_of={','.join(str(each.pid) for each in counted)}",
                              target=target)
        try:
            report = process.result(deadline)
        except AssertionError as error:
            raise AssertionError(f"{workload} through {contender.title}: {error}") from None
        finally:
            # One that is stuck is not to take part in what is measured next.
            process.end()
        elapsed = time.monotonic() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = used.ru_utime + used.ru_stime - children.ru_utime - children.ru_stime
        others = machine_seconds() - busy - (process_seconds(counted) - counted_before) - own
        sample = Sample(contender, report, max(0.0, others) / elapsed / os.cpu_count())
        self.foreign.append(sample.foreign)
        return sample

    def hold(self, contender, count):
        """A client that holds `count` connections open until it is killed."""
        process = self._spawn(contender, "hold", f"--connections={count}", target="echo")

        def held():
            if not process.running():
                raise AssertionError(f"connections through {contender.title}: {process.log_text()[-500:]}")
            return '"held"' in process.log_text()
        try:
            wait_until(held, 90, f"{count} connections through {contender.title}", every=0.05)
        except BaseException:
            process.end()
            raise
        return process

    def _spawn(self, contender, workload, *flags, target):
        contender.start()
        return self.world.spawn(
            "load", contender.client, [self.world.load, workload, f"--to={contender.targets[target]}", *flags],
            self.world.log_path("load", unique=True), uid=APPLICATION_UID)
