"""A demo that stays when it has been shown, and whoever asks it how it is or tells it to stop."""

import os
import signal
import socket
import struct
import sys

from testing.interruption import uninterrupted

from speech import cross, say, tick

# Who told it to stop: held until the end of the process, so that they learn when it is complete.
_stopped_by = []


def _address(pid):
    # Abstract: it leaves no file, and is gone with its process.
    return f"\0byrnie-demo-{pid}"


def _answer(listener, status, seconds):
    """Answers who asks within `seconds`. To "stop" with the status too; the connection ends with everything else."""
    listener.settimeout(seconds)
    try:
        asker, _ = listener.accept()
    except TimeoutError:
        return
    asker.settimeout(5)
    try:
        _, uid, _ = struct.unpack("3i", asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid != 0:
            return
        question = asker.recv(16)
        text, well = status()
        asker.sendall(f"{'well' if well else 'ill'}\n{text}\n".encode())
        if question == b"stop":
            _stopped_by.append(asker)
            asker = None
            sys.exit(0)
    except OSError:
        pass
    finally:
        if asker:
            asker.close()


def ask(question, pid):
    """Asks the demo that was kept as `pid`, shows the answer; returns the exit code."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker:
            asker.settimeout(30)
            asker.connect(_address(pid))
            asker.sendall(question.encode())
            answer = b""
            while block := asker.recv(4096):
                answer += block
    except OSError as error:
        print(f"error: no demo runs as process {pid} ({error}); tools/demo --keep starts one", file=sys.stderr)
        return 1
    verdict, _, text = answer.decode().partition("\n")
    mark = tick() if verdict == "well" else cross()
    for sentence in text.splitlines():
        say(sentence if sentence.startswith(" ") else f"{mark} {sentence}")
    if question == "stop":
        say("stopped; nothing is left behind")
    return 0 if verdict == "well" else 1


def show_and_stay(show):
    """Runs show(stay) in a child, which calls stay(status) when it is to stay after this process has ended; status() is
    (what to say, whether all is well). Returns the exit code."""
    told, tell = os.pipe()

    def stay(status):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(_address(os.getpid()))
        listener.listen(4)
        # Away from the terminal: neither its end nor Ctrl-C there concerns this process any more.
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        os.write(tell, b"up")
        os.close(tell)
        while True:
            # Not forever at a time: a signal that came just before would be slept through.
            _answer(listener, status, 0.5)

    with uninterrupted():
        child = os.fork()
        if child:
            # The child hears Ctrl-C as well and cleans up; this process only waits for it.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, lambda number, _: os.kill(child, number))
    if child == 0:
        os.close(told)
        sys.exit(show(stay))
    os.close(tell)
    if os.read(told, 2):
        return 0
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
