"""What an addon can add to a host: the values that `register_*` hooks return.

They are plain data with a callable inside, so that the ground floor can name them without importing a web framework or
a command line.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class AddonInfo:
    """An addon as found on disk: what its manifest says, and where its files are."""

    name: str
    title: str
    version: str
    summary: str
    depends: tuple[str, ...]
    package: str
    """The Python package that it is imported by."""
    folder: Path
    """Where its `models/`, `templates/`, `pages/` and `migrations/` are."""
    data_folder: Path
    """What the paths in `data` and `demo` start from: `folder`, but core's records are in the project's `data/`."""
    data: tuple[str, ...]
    """Seed files, in the order in which they apply."""
    demo: tuple[str, ...]
    """Seed files that only a demo applies."""
    commands: str = ""
    """The word that its commands stand behind; empty means its name."""


@dataclass(frozen=True, slots=True)
class Page:
    """An HTML page under `/addons/<addon>/<path>`.

    `template` lies in the addon's `templates/` folder; `values` is awaited with the request's query (a mapping of
    strings) and returns what the template shows. `menu` puts it into the navigation under that title, in the place of
    the plain list of records that are called so. `act` is awaited with the query and the form that was posted there,
    and returns the address of ours to go on to; a UserError is shown. `topics` are what the page keeps itself up to
    date by, such as `queue`.
    """

    path: str
    template: str
    values: Callable[[Mapping[str, str]], Awaitable[Mapping[str, Any]]]
    title: str
    menu: bool = True
    act: Callable[[Mapping[str, str]], Awaitable[str]] | None = None
    topics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """An HTTP endpoint: `endpoint` is a FastAPI path function, with its types for OpenAPI.

    A `public` one answers without a login and takes changes from anywhere: it checks by itself who calls, as a webhook
    does by its secret. `keyed` says what an Idempotency-Key means to it: with `together` it runs within one transaction
    with its kept answer, so one that asks others over the network is `alone`. `status` is that of success, `scope`
    what a token needs in place of `read` or `write` by the method, and `media_type` what it answers that is no JSON.
    """

    method: str
    path: str
    endpoint: Callable[..., Any]
    summary: str
    public: bool = False
    keyed: Literal["together", "alone", "secret", "ignored"] = "together"
    status: int = 200
    scope: Literal["", "read", "write", "mail", "admin"] = ""
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class MenuItem:
    """An entry of the navigation; lower `order` comes first."""

    title: str
    url: str
    order: int = 100


@dataclass(frozen=True, slots=True)
class Command:
    """A CLI command `postroom <addon> <name>`: `run` is awaited inside an open host with the given words.

    The manifest may say another word than the addon's name (`commands`). A list of mappings that it returns is printed,
    as a table or as JSON with `--json`; a number is the exit code. `example` is what its help shows behind the name.
    """

    name: str
    run: Callable[[Sequence[str]], Awaitable[Any]]
    help: str
    example: str = ""


@dataclass(frozen=True, slots=True)
class TemplateFilter:
    """A Jinja filter: `function(value, *arguments)` on plain data, without side effects."""

    name: str
    function: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Channel:
    """A way to people beside e-mail, on the same queue (see `core.delivery.channel`).

    Messages leave through the active records of `provider_model`, a `ChannelProvider`, the first that serves the
    message's company. `address(text)` returns an address in the one form in which equal ones are equal, or raises a
    UserError. `measure(text)` says in words how long a text is ("2 segments").
    """

    name: str
    """What `Message.channel` holds."""
    title: str
    provider_model: str
    address: Callable[[str], str]
    contact_fields: tuple[str, ...] = ("mobile", "phone")
    """The fields of a Contact that hold an address, the best first."""
    max_chars: int = 1600
    measure: Callable[[str], str] | None = None


@dataclass(frozen=True, slots=True)
class GatewayRule:
    """A rule for inbound mail, tried in `order` among core's own (see `core.gateway.rules`).

    `decide(email, lookup)` answers a verdict of the gateway, or None to pass the mail on; it only reads.
    """

    name: str
    order: int
    decide: Callable[[Any, Any], Awaitable[Any]]


@dataclass(slots=True)
class Contributions:
    """What the addons of one host contribute, joined in addon order, each with the addon's name.

    Routes are not among it: the web asks for them when it is set up, as they bring a framework that nothing else needs.
    """

    pages: list[tuple[str, Page]] = field(default_factory=list)
    menu: list[tuple[str, MenuItem]] = field(default_factory=list)
    commands: list[tuple[str, Command]] = field(default_factory=list)
    template_filters: list[tuple[str, TemplateFilter]] = field(default_factory=list)
    channels: list[tuple[str, Channel]] = field(default_factory=list)
    gateway_rules: list[tuple[str, GatewayRule]] = field(default_factory=list)
