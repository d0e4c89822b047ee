"""The one waist: what the running host hands to everything below it, by a context variable.

Code asks here for a model by name, for a setting, for the acting user. Nothing here knows how a host is put together.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.config import Configuration, Settings
    from core.contributions import AddonInfo, Contributions
    from core.hashing import Hasher
    from core.hooks import Hooks
    from core.mail.names import Names
    from core.orm.bell import Bell
    from core.orm.database import Database
    from core.orm.feed import Feed
    from core.orm.registry import Registry
    from core.render.environment import Renderer
    from core.render.pdf import PdfRenderer


@dataclass(frozen=True, slots=True)
class Caller:
    """Who or what set the running code going; empty where the host itself did."""

    request_id: str = ""
    address: str = ""
    """The network address of who asks."""
    token: str = ""
    """The public prefix of the token that it asks with."""
    command: str = ""
    """The command of the command line."""


@dataclass(slots=True)
class Runtime:
    """The parts of one open host."""

    configuration: Configuration
    hooks: Hooks
    registry: Registry
    database: Database
    contributions: Contributions
    renderer: Renderer
    pdf: PdfRenderer
    bell: Bell
    feed: Feed
    hasher: Hasher
    names: Names | None = None
    """The DNS that inbound mail is judged by; None where it is off."""
    addons: tuple[AddonInfo, ...] = ()
    """The loaded addons, in dependency order."""
    is_sending: bool = False
    """Whether a worker of this process sends what is queued."""

    @property
    def settings(self) -> Settings:
        return self.configuration.settings


_running: ContextVar[Runtime] = ContextVar("postroom_runtime")
_acting_user: ContextVar[Any] = ContextVar("postroom_acting_user", default=None)
_HOST = Caller()
_caller: ContextVar[Caller] = ContextVar("postroom_caller", default=_HOST)


def runtime() -> Runtime:
    """Return the open host's parts; a RuntimeError outside of one."""
    try:
        return _running.get()
    except LookupError:
        raise RuntimeError("no host is open here; use `async with open_host(...)`") from None


def get_model(name: str) -> type[Any]:
    """Return a model of the open host by its name; UnknownName with the nearest one otherwise."""
    return runtime().registry.get(name)


def settings() -> Settings:
    """Return the open host's configuration values."""
    return runtime().configuration.settings


@contextmanager
def running(value: Runtime) -> Iterator[Runtime]:
    """Make `value` the open host for the block and the tasks that it starts."""
    token = _running.set(value)
    try:
        yield value
    finally:
        _running.reset(token)


def acting_user() -> Any:
    """Return the User on whose behalf the code runs; None for the system itself."""
    return _acting_user.get()


@contextmanager
def acting_as(user: Any) -> Iterator[None]:
    """Act on behalf of `user` within the block."""
    token = _acting_user.set(user)
    try:
        yield
    finally:
        _acting_user.reset(token)


def caller() -> Caller:
    """Return who or what set the running code going."""
    return _caller.get()


@contextmanager
def called_by(value: Caller) -> Iterator[None]:
    """Say within the block who or what set it going."""
    token = _caller.set(value)
    try:
        yield
    finally:
        _caller.reset(token)


def this_worker() -> str:
    """Return the name that run rows and attempts give to this process: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"
