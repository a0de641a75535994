"""Ports on loopback for servers that come and go while other tests run beside."""

import random
import socket

# Names of abstract sockets: they go with the process that holds them, and only with it.
_held = []


def free_port():
    """A port that no other test gets while this process lives, also while nobody listens there, and below those of outgoing connections."""
    while True:
        port = random.randrange(10240, 32000)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0postern-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _held.append(claim)
        return port
