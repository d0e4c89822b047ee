"""Serving the open host by HTTP, in this process and this task, until an event says to stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn

from core.errors import ConfigError
from core.web.app import create_app

_GRACE_S = 5


class _QuietServer(uvicorn.Server):
    """Leaves signals to whoever runs the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    host: str, port: int, stop: asyncio.Event, announce: Callable[[str], None] = lambda address: None
) -> None:
    """Answer requests until `stop`; requests under way have a few seconds to end.

    `port` 0 takes a free one; `announce` is called with the address (`http://127.0.0.1:8080`) once it answers.
    Raises ConfigError where the address cannot be taken.
    """
    listener = _listener(host, port)
    app = create_app(stop)
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _QuietServer(config)
    serving = asyncio.create_task(server.serve([listener]))
    stopping = asyncio.create_task(stop.wait())
    ended = asyncio.Event()
    counting = asyncio.create_task(app.state.hits.run(ended))
    watching = asyncio.create_task(app.state.live.run())
    try:
        announce(address_of(listener))
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        # A stream has no end of its own that the server could wait for.
        app.state.live.close()
        server.should_exit = True
        await serving
    finally:
        stopping.cancel()
        serving.cancel()
        await asyncio.gather(stopping, serving, return_exceptions=True)
        listener.close()
        ended.set()
        app.state.live.close()
        await asyncio.gather(counting, watching)


def address_of(listener: socket.socket) -> str:
    """Return the address of a listening socket as a browser takes it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listener(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1024)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"The web server cannot listen on {host} port {port}: {error.strerror}. Change HTTP_HOST or HTTP_PORT."
        ) from error
    return listener
