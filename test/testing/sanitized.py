"""What a test may expect of binaries that are compiled for a sanitizer.

They take several times the CPU and the memory: a number held against them says nothing of the program that people run. But an
attack, thousands of connections at once or a rotation under load is what a sanitizer is worth most on. So a test that measures
runs on them too and does all that it does; how it ends, what is counted, lost or left behind is judged as ever, and only

    with measured():                        a number is told, and judged in the plain run alone
        self.assertLess(p99, 3 * idle)
    wait_until(ready, patience(10), ...)    what the program has to do may take longer
    AGENTS = fewer(1000, 100)               fewer of what would take minutes

`run.py --sanitized` sets BYRNIE_SANITIZED for the files it runs.
"""

import contextlib
import os

VARIABLE = "BYRNIE_SANITIZED"
SANITIZED = os.environ.get(VARIABLE) == "1"
# ThreadSanitizer takes most, up to ten times the CPU where nothing else is done.
SLOWER = 5


@contextlib.contextmanager
def measured():
    """What is asserted inside is a time, a rate or a size. Nothing that the rest of the test needs belongs inside."""
    try:
        yield
    except AssertionError as error:
        if not SANITIZED:
            raise
        print(f"     not judged under a sanitizer: {str(error).splitlines()[0]}", flush=True)


def patience(seconds):
    """A deadline for the program."""
    return SLOWER * seconds if SANITIZED else seconds


def fewer(count, sanitized):
    """How many of something: `sanitized` of them under a sanitizer."""
    return sanitized if SANITIZED else count


def little_memory():
    """What a command begins with whose memory is limited: its runtime keeps little of what the program has freed, or not for
    long, as it would otherwise do by the hundred megabytes."""
    options = {"ASAN_OPTIONS": "quarantine_size_mb=1:malloc_context_size=0", "TSAN_OPTIONS": "flush_memory_ms=500"}
    own = [f"{name}={':'.join(filter(None, (os.environ.get(name), more)))}" for name, more in options.items()]
    return ["env", *own] if SANITIZED else []
