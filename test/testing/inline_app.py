"""An application of a pod whose code is a function of the test: sees each connection the pod is given, and counts them."""

import threading


class InlineApp:
    """Listens in `host` (a Pod or a Namespace) while its block lasts and runs handle(connection) in a thread for each.

    `accepted` is the number of connections so far. A handler may end with OSError: the peer has gone.
    """

    def __init__(self, host, port, handle=None):
        self._listener = host.listen(port, timeout=0.1)
        self._handle = handle or (lambda connection: None)
        self._ending = threading.Event()
        self.accepted = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join()
        self._listener.close()

    def _accept(self):
        while not self._ending.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.accepted += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            connection.settimeout(60)
            try:
                self._handle(connection)
            except OSError:
                pass


def echo(connection):
    """Sends back what it gets."""
    while block := connection.recv(65536):
        connection.sendall(block)


def greet(greeting):
    """Speaks first, then sends back what it gets."""
    def handle(connection):
        connection.sendall(greeting)
        echo(connection)
    return handle


def receive(connection, size):
    """Exactly `size` bytes, or what there was before the end."""
    data = b""
    while len(data) < size:
        block = connection.recv(size - len(data))
        if not block:
            break
        data += block
    return data
