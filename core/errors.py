"""The one error family.

An error's message names the thing and what to do next; its `code` is the stable word that the API, the CLI and tests
rely on. Every error also inherits the builtin that a caller would expect to catch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import ClassVar


class PostroomError(Exception):
    """The root of all errors that Postroom raises on purpose."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    """What the CLI exits with: 1 failed, 2 usage, 3 temporary."""


class UserError(PostroomError, ValueError):
    """A request that cannot be met as it stands; the message says what to change."""

    code = "user_error"


class ConfigError(PostroomError, ValueError):
    """A configuration value is unknown, unreadable or of the wrong type."""

    code = "config"
    exit_code = 2


class UnknownName(PostroomError, LookupError):
    """A model, addon, key or identifier that nobody declared."""

    code = "unknown_name"
    exit_code = 2


class AccessDenied(PostroomError, PermissionError):
    """The acting user's groups do not allow this operation."""

    code = "access_denied"


class TemporaryFailure(PostroomError):
    """It did not work now, and the same call may work later."""

    code = "temporary"
    exit_code = 3


class Faults(PostroomError):
    """Several faults of one kind, told at once rather than one a start.

    `faults` are one-line sentences, each complete in itself.
    """

    code = "faults"
    exit_code = 2

    def __init__(self, heading: str, faults: Sequence[str]):
        self.heading = heading
        self.faults = tuple(faults)
        super().__init__(heading + "".join(f"\n  - {fault}" for fault in self.faults))


class AddonError(Faults):
    """Addons cannot be loaded as they are on disk."""

    code = "addon"


class SchemaError(Faults):
    """The database and the models cannot be brought together without a person's decision."""

    code = "schema"


class SeedError(Faults):
    """A seed file cannot be applied; nothing of it was."""

    code = "seed"


class AddressError(UserError):
    """An e-mail address, or a header value, that must not reach the wire."""

    code = "address"


class TemplateError(UserError):
    """A template does not compile, or failed while rendering.

    `line` and `column` count from 1 and are None where the engine does not know them; `source` says which text of the
    template (subject, content, ...) is meant, and `excerpt` is the line itself, or empty.
    """

    code = "template"

    def __init__(
        self,
        message: str,
        *,
        source: str = "template",
        line: int | None = None,
        column: int | None = None,
        excerpt: str = "",
    ):
        self.reason = message
        self.excerpt = excerpt
        self.source = source
        self.line = line
        self.column = column
        where = source if line is None else f"{source}, line {line}"
        if column is not None:
            where += f", column {column}"
        super().__init__(f"{where}: {message}")


class RenderError(UserError):
    """A report could not be made into a PDF within its limits."""

    code = "render"


class TransportError(PostroomError, OSError):
    """A mail server could not be reached, or broke the protocol; the concrete error says where."""

    code = "transport"
    exit_code = 3


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "x"?` for the nearest known name, or an empty string."""
    by_fold = {candidate.casefold(): candidate for candidate in known}
    near = get_close_matches(name.casefold(), by_fold, n=1, cutoff=0.6)
    return f' Did you mean "{by_fold[near[0]]}"?' if near else ""
