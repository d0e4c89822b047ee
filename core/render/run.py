"""One render in progress: for whom it is, what it has used up, and what it found missing.

A template is somebody's program. It is stopped by counting what it does, not by a second process or a signal: every
loop step, call, filter and comparison spends units here, and spending looks at the clock. What it never does: look
inside a single operation of C code, which is why the sandbox bounds the operands of each of those.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import astuple, dataclass

from core.render.catalogue import Catalogue

CLOCK_EVERY_UNITS = 32
CHARS_PER_UNIT = 8
"""A unit stands for one loop step, one list element or eight characters: up to about 40 bytes of memory."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom a text is rendered for; filters and translations follow it.

    `locale` is a language tag with `_` or `-`; `currency` (ISO 4217) is what amounts are in when they do not say.
    """

    locale: str = "en"
    timezone: str = "UTC"
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class RenderLimits:
    """What one render may take at most."""

    source_chars: int = 256 * 1024
    source_tokens: int = 30_000
    output_bytes: int = 5_000_000
    wall_s: float = 2.0
    units: int = 5_000_000

    def within(self, other: RenderLimits) -> RenderLimits:
        """Return the lower ones of these limits and of another's."""
        return RenderLimits(*map(min, astuple(self), astuple(other)))


LINE_LIMITS = RenderLimits(output_bytes=64 * 1024, wall_s=0.5, units=500_000)
"""For subjects, addresses and file names."""


class Refused(Exception):
    """The sandbox does not let a template do this; the message is for the template's author."""


class Run:
    """The state of one render."""

    __slots__ = (
        *("_deadline", "_due", "_left", "audience", "catalogue", "escape", "limits", "missing", "names", "strict"),
    )

    def __init__(
        self,
        audience: Audience,
        catalogue: Catalogue,
        limits: RenderLimits,
        *,
        escape: bool,
        strict: bool,
        names: Iterable[str],
    ):
        self.audience = audience
        self.catalogue = catalogue
        self.limits = limits
        self.escape = escape
        self.strict = strict
        self.names = names
        self.missing: dict[str, None] = {}
        self._due = 0
        self._left = limits.units
        self._deadline = time.monotonic() + limits.wall_s

    def spend(self, units: int = 1) -> None:
        """Count work, and stop the render when it took too much or too long."""
        self._due += units
        if self._due >= CLOCK_EVERY_UNITS:
            self.check()

    def spend_chars(self, chars: int) -> None:
        """Count text that is about to be made."""
        self.spend(1 + chars // CHARS_PER_UNIT)

    def check(self) -> None:
        """Settle what is due and look at the clock."""
        self._left -= self._due
        self._due = 0
        if self._left < 0:
            raise Refused("it does too much work: loop over less, or build less text")
        if time.monotonic() > self._deadline:
            raise Refused(f"it takes longer than {self.limits.wall_s:g} s: loop over less")


current_run: ContextVar[Run] = ContextVar("postroom_render")
"""The render under way; unset while a template compiles, so that no filter runs at compile time."""
