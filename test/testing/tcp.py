"""How connections end, as tests of a TCP path make it and see it."""

import errno
import fcntl
import select
import socket
import struct
import termios
import time

from .process import wait_until

END, RESET, TIMEOUT = "end", "reset", "timeout"


def reset(connection):
    """Closes with a TCP reset. What was sent and not acknowledged is lost, as with any reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def unacknowledged(connection):
    """Bytes sent that the next host's kernel has not taken yet."""
    return struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0]


def wait_acknowledged(connection, deadline=5):
    """Everything sent has left this host's kernel: a reset does not lose it any more."""
    wait_until(lambda: unacknowledged(connection) == 0, deadline, "the acknowledgement of what was sent", every=0.001)


def read_to_end(connection, timeout=10):
    """(bytes, how): what still came, and whether a clean end, a reset or nothing more followed within `timeout`."""
    connection.settimeout(timeout)
    blocks = []
    try:
        while block := connection.recv(1 << 18):
            blocks.append(block)
        how = END
    except TimeoutError:
        how = TIMEOUT
    except OSError as error:
        how = RESET if error.errno in (errno.ECONNRESET, errno.EPIPE) else errno.errorcode[error.errno]
    return b"".join(blocks), how


def broken_after_end(connection, timeout=10):
    """RESET once a connection whose incoming direction has ended already is reset as well: read() keeps saying "end"."""
    poll = select.poll()
    poll.register(connection, 0)
    poll.poll(timeout * 1000)
    error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error in (errno.ECONNRESET, errno.EPIPE):
        return RESET
    return errno.errorcode[error] if error else TIMEOUT


def fill(connection, block, limit, quiet=0.5, at=0):
    """Sends `block`, again and again, until nothing has moved for `quiet` seconds or `limit` bytes are gone; returns how many.

    `at`: bytes sent before, where to go on in `block`."""
    connection.setblocking(False)
    sent, moved = 0, time.monotonic()
    while sent < limit and time.monotonic() - moved < quiet:
        here = (at + sent) % len(block)
        try:
            sent += connection.send(memoryview(block)[here:here + limit - sent])
            moved = time.monotonic()
        except BlockingIOError:
            time.sleep(0.005)
    connection.setblocking(True)
    return sent
