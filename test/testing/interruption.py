"""How a program of the harness ends before its time: Ctrl-C, SIGTERM, or its terminal is closed, which is SIGHUP.

All three unwind the stack of the main thread, or nothing would be cleaned up.
"""

import contextlib
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """What one of SIGNALS raises. Not SystemExit, which unittest takes for a failed test and goes on with the next."""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def _interrupt(number, _frame):
    # A terminal that is closed may say so twice, and people press Ctrl-C again: the first one counts, the others would
    # only disturb the cleaning up.
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(number)


def unwind_on_signals():
    """From now on each of SIGNALS raises Interrupted in the main thread, which calls this.

    SIGINT also where it was ignored: a shell starts so what runs in its background, and what is started here is to be
    ended from here. Whoever ignores SIGHUP meant it (nohup).
    """
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


@contextlib.contextmanager
def uninterrupted():
    """Holds SIGNALS back, so that nothing is made without being known to who has to remove it."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


@contextlib.contextmanager
def uninterruptible():
    """Ignores SIGNALS, in the programs that are started meanwhile too: for removing what was made."""
    old = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
