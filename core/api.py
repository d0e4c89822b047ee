"""All that an addon may import from Postroom; an addon imports this module and nothing else of `core`.

Records: `Record`, `Chatter`, `fields` (CharField, SelectionField, ForeignKeyField, ...), `more_choices`, `plain_data`,
`related` (what a to-one field points at, which is not asked for twice).
The running host: `get_model`, `settings`, `acting_user`, `acting_as`, `my_records` (what that user may see), `now`;
`my_access` and `access_of` (all that one user may do: an `Access`).
Work that belongs together: `transaction`, `after_commit`, `rehearsal` (rolled back at its end). `database`: for what
the ORM has no words for, by statements that are written with its dialect.
Hooks: `hookimpl` marks an implementation; `core/hookspecs.py` lists the hooks.
Programs: `api_method` marks a method of a model that may be called over HTTP.
Cron: `cron_method` marks a method that a CronJob may name, `Progress` is what it may return.
What `register_*` hooks return: `Page`, `Route`, `MenuItem`, `Command`, `TemplateFilter`, `GatewayRule`, `Channel`.
Channels: `ChannelProvider` (the mix-in for provider records) with `PROVIDER_KINDS`, what it sends and answers
(`ChannelMessage`, `ChannelResult`, `HttpClient`, `HttpShape`), what it hears (`ReceiptNews`, `ReceivedText`,
`secret_matches`, `take_call`, `webhook_provider`, `text_at`), `channel_commands`, and telephones: `phone_number`,
`sms_length`.
Mail: `OutgoingEmail` (see `filter_outgoing_email`), `Received` (an inbound mail), and the answers of a gateway rule:
`Ignore`, `NewRecord`, `Outcome`, `Pass`, `Quarantine`, `Reply`, `Unmatched`. Invitations: `Invite`, `InviteMethod`,
`Attendee`, `AttendeeRole`, `AttendeeAnswer`, and `Mailbox`, a name with its address.
Readers and addresses: `audience_of` (whom a record's texts are for: an `Audience`), `address_of` (a header's text),
`checked_address`, `header_form` (a name with its address). Many mails at once: `QueueRequest`. Files: `csv_cell`.
Rights and errors: `Right`; `UserError` for a request that cannot be met, `UnknownName`, `AccessDenied`,
`TemporaryFailure`, `AddressError`; all of them are a `PostroomError`.
"""

from __future__ import annotations

from typing import Any

from core.access import Access, Right, access_of
from core.access.method import api_method
from core.clock import now
from core.contributions import Channel, Command, GatewayRule, MenuItem, Page, Route, TemplateFilter
from core.cron.method import cron_method
from core.cron.runner import Progress
from core.delivery.channel import ChannelMessage, ChannelResult
from core.delivery.http_provider import HttpShape, text_at
from core.delivery.phone import phone_number, sms_length
from core.delivery.receipts import ReceiptNews, ReceivedText
from core.delivery.request import QueueRequest
from core.errors import AccessDenied, AddressError, PostroomError, TemporaryFailure, UnknownName, UserError
from core.gateway.target import header_form
from core.gateway.values import Ignore, NewRecord, Outcome, Pass, Quarantine, Received, Reply, Unmatched
from core.hookspecs import hookimpl
from core.mail.address import normalised, parse_address, tolerant_addresses
from core.mail.invite import Attendee, AttendeeAnswer, AttendeeRole, Invite, InviteMethod
from core.mail.suppression import csv_cell
from core.mail.values import Mailbox, OutgoingEmail
from core.models.channel_commands import channel_commands
from core.models.channel_provider import KINDS as PROVIDER_KINDS
from core.models.channel_provider import ChannelProvider, secret_matches
from core.models.channel_webhook import take_call, webhook_provider
from core.models.chatter import Chatter
from core.models.rendering import audience_of, related
from core.orm import fields
from core.orm.database import Database
from core.orm.fields import more_choices
from core.orm.record import Record
from core.orm.serialize import plain_data
from core.orm.transaction import after_commit, rehearsal, transaction
from core.render.run import Audience
from core.runtime import acting_as, acting_user, get_model, runtime, settings
from core.transport.http import HttpClient

__all__ = [
    "PROVIDER_KINDS",
    "Access",
    "AccessDenied",
    "AddressError",
    "Attendee",
    "AttendeeAnswer",
    "AttendeeRole",
    "Audience",
    "Channel",
    "ChannelMessage",
    "ChannelProvider",
    "ChannelResult",
    "Chatter",
    "Command",
    "GatewayRule",
    "HttpClient",
    "HttpShape",
    "Ignore",
    "Invite",
    "InviteMethod",
    "Mailbox",
    "MenuItem",
    "NewRecord",
    "Outcome",
    "OutgoingEmail",
    "Page",
    "Pass",
    "PostroomError",
    "Progress",
    "Quarantine",
    "QueueRequest",
    "ReceiptNews",
    "Received",
    "ReceivedText",
    "Record",
    "Reply",
    "Right",
    "Route",
    "TemplateFilter",
    "TemporaryFailure",
    "UnknownName",
    "Unmatched",
    "UserError",
    "access_of",
    "acting_as",
    "acting_user",
    "address_of",
    "after_commit",
    "api_method",
    "audience_of",
    "channel_commands",
    "checked_address",
    "cron_method",
    "csv_cell",
    "database",
    "fields",
    "get_model",
    "header_form",
    "hookimpl",
    "more_choices",
    "my_access",
    "my_records",
    "now",
    "phone_number",
    "plain_data",
    "rehearsal",
    "related",
    "secret_matches",
    "settings",
    "sms_length",
    "take_call",
    "text_at",
    "transaction",
    "webhook_provider",
]


async def my_records(model: str, right: Right = Right.READ) -> Any:
    """Return a query over the records that the acting user has a right on; AccessDenied where there is none.

    Pages and routes ask here; nobody who is not logged in sees anything.
    """
    if acting_user() is None:
        raise AccessDenied(f"Log in to {right} {model}.")
    return (await my_access()).records(model, right)


async def my_access() -> Access:
    """Return all that the acting user may do; AccessDenied where nobody is logged in."""
    user = acting_user()
    if user is None:
        raise AccessDenied("Log in first.")
    return await access_of(user)


def database() -> Database:
    """Return the open database of the running host."""
    return runtime().database


def address_of(text: str) -> str:
    """Return the first address in `Name <address>`, in the form in which equal mailboxes are equal; or empty."""
    found = tolerant_addresses(text)
    return normalised(found[0].address) if found else ""


def checked_address(text: str) -> str:
    """Return the address in `Name <address>` in that form; AddressError where no mail can go to it."""
    return normalised(parse_address(text).address)
