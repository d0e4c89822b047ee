"""What an addon can hook into. The name says the kind:

- `register_*` (contribution): sync, called once at start; results are joined in addon order; a failure stops the start.
- past tense (event): async, after the fact and after the commit; a failure is logged with the addon's name.
- `filter_*` (filter): async; the value passes through each in addon order; return the changed value, or None to leave
  it; a failure fails the operation with a reason, and nothing is half done.

A hook stands here only with an addon that uses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pluggy

from core.contributions import Channel, Command, GatewayRule, MenuItem, Page, Route, TemplateFilter

PROJECT = "postroom"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_models() -> Sequence[type]:
    """Return the addon's Record classes, extensions of other addons' models among them."""


@hookspec
def register_routes() -> Sequence[Route]:
    """Return HTTP endpoints; each appears in the OpenAPI document. Called when the web is set up, and only then."""


@hookspec
def register_pages() -> Sequence[Page]:
    """Return HTML pages, rendered from the addon's `templates/`."""


@hookspec
def register_menu() -> Sequence[MenuItem]:
    """Return entries of the navigation."""


@hookspec
def register_commands() -> Sequence[Command]:
    """Return commands for `postroom <addon> <command>`."""


@hookspec
def register_template_filters() -> Sequence[TemplateFilter]:
    """Return Jinja filters for e-mail templates and reports."""


@hookspec
def register_channels() -> Sequence[Channel]:
    """Return ways to people beside e-mail, such as SMS."""


@hookspec
def register_gateway_rules() -> Sequence[GatewayRule]:
    """Return rules for inbound mail."""


@hookspec
async def record_created(record: Any) -> None:
    """A record was stored for the first time."""


@hookspec
async def record_updated(record: Any, changed: Mapping[str, Any]) -> None:
    """A record's tracked fields changed; `changed` maps each to its value before."""


@hookspec
async def record_deleted(record: Any) -> None:
    """A record is gone from the database."""


@hookspec
async def message_posted(message: Any) -> None:
    """An entry was added to a timeline."""


@hookspec
async def message_sent(message: Any) -> None:
    """A server accepted a message for all of its recipients."""


@hookspec
async def message_failed(message: Any, error: str) -> None:
    """A message failed for good for at least one recipient; `error` is the server's answer in words."""


@hookspec
async def message_bounced(message: Any, report: Any) -> None:
    """A copy of a message came back; `report` is a ProviderEvent: recipient, hard, status, reason.

    Told only of what is proven, by a return path of ours or by an authenticated webhook.
    """


@hookspec
async def message_opened(message: Any) -> None:
    """A person opened a message for the first time, as far as that can be told."""


@hookspec
async def message_clicked(message: Any, url: str) -> None:
    """A person followed a link of a message."""


@hookspec
async def email_routed(email: Any, record: Any, message: Any) -> None:
    """An inbound mail became an entry on a record's timeline, of a new record or an old one."""


@hookspec
async def email_unmatched(email: Any) -> None:
    """An inbound mail matched nothing and waits for a person."""


@hookspec
async def cron_finished(job: Any, run: Any) -> None:
    """A cron job ran, well or not; `run` is its CronRun."""


@hookspec
async def filter_template_context(
    context: dict[str, Any], template: Any, record: Any, audience: Any
) -> dict[str, Any] | None:
    """Change the plain data that a template renders with; `audience` has the reader's locale, timezone and currency."""


@hookspec
async def filter_outgoing_email(email: Any, message: Any) -> Any:
    """Change an OutgoingEmail before its bytes are made, by its `_replace`; equal input must give equal output.

    `message` is the row of the queue, to be read only: what is in it may stand for many mails.
    """


@hookspec
async def filter_route_values(values: dict[str, Any], route: Any, email: Any) -> dict[str, Any] | None:
    """Change the field values of a record that an inbound mail is about to create."""
