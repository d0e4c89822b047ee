"""A loopback port for a server that must be told its port before it starts."""

from __future__ import annotations

import random
import socket

# Below the range from which Linux takes the ports of outgoing connections (32768 and up), so that
# between the check and the server's own bind nobody gets the port by accident.
_LOWEST, _HIGHEST = 15_000, 32_000


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that nobody listens on, at random so that parallel workers do not meet."""
    chooser = random.SystemRandom()
    while True:
        port = chooser.randint(_LOWEST, _HIGHEST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
