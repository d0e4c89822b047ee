"""`InboundEmail`: the spool. Every mail that came in, whole, with what was decided about it and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any, BinaryIO

from core.access import Access
from core.access.method import api_method
from core.errors import UserError
from core.gateway import by_hand, intake, load, receive, replay, spool
from core.gateway.proposals import Proposals, proposals_for
from core.mail.values import IncomingEmail
from core.orm import fields
from core.orm.record import Record
from core.runtime import get_model


class InboundEmail(Record):
    """One received mail. `source` is its delivery identity: the same mail fetched twice is one row."""

    label_field = "subject"
    # What belongs to no company, and to no record, may be anybody's: it is for administrators.
    _shared_where = MappingProxyType({"res_model__isnull": False})

    source = fields.CharField(max_length=255, unique=True)
    """`imap:<server id>:<folder>:<UIDVALIDITY>:<UID>`, `load:<sha256>`, `dev:<id>`, ..."""
    sha256 = fields.CharField(max_length=64, db_index=True)
    size_bytes = fields.BigIntField()
    received_at = fields.DatetimeField(auto_now_add=True)
    state = fields.SelectionField(
        {
            "received": "Received",
            "processed": "Processed",
            "ignored": "Ignored",
            "unmatched": "Unmatched",
            "quarantined": "Quarantined",
            "discarded": "Discarded",
        },
        default="received",
    )
    outcome = fields.CharField(max_length=32, default="")
    """The verdict in one word: record, reply, duplicate, loop, automatic, bounce, unmatched, ..."""
    trace = fields.JSONField(default=list)
    """Every rule that was asked, in order, with its answer and reason."""
    tries = fields.IntField(default=0)
    error = fields.TextField(default="")
    fingerprint = fields.CharField(max_length=64, null=True, unique=True)
    """The same for every copy of one mail, and set on the one that was dealt with."""
    message_id_header = fields.CharField(max_length=998, default="")
    subject = fields.CharField(max_length=998, default="")
    sender = fields.CharField(max_length=320, default="")
    authentication = fields.JSONField(null=True)
    """Whether it is proven to be from its From address, and by what (`core.mail.authentication`)."""
    res_model = fields.CharField(max_length=100, null=True)
    res_id = fields.BigIntField(null=True)
    message = fields.ForeignKeyField("models.Message", null=True, related_name="inbound", on_delete=fields.SET_NULL)
    recipient = fields.CharField(max_length=320, default="")
    """The address of ours that it came by, without its tag; `*@domain` by a catch-all, empty by none."""
    company = fields.ForeignKeyField("models.Company", null=True, related_name="inbound", on_delete=fields.SET_NULL)
    """That of its record, or of the domain that it came to; without one it is the administrators' alone."""
    original = fields.ForeignKeyField(
        "models.InboundEmail", null=True, related_name="copies", on_delete=fields.SET_NULL
    )
    """The mail that this is a copy of, or that a person had dealt with once more."""
    answer = fields.CharField(max_length=255, default="")
    """Which automatic answer it got, or why none; empty where there was nothing to answer."""
    settled_by = fields.ForeignKeyField("models.User", null=True, related_name="settled", on_delete=fields.SET_NULL)
    """Who said what becomes of it, where no rule did."""
    settled_at = fields.DatetimeField(null=True)
    lease_token = fields.CharField(max_length=32, null=True)
    lease_until = fields.DatetimeField(null=True)

    class Meta:
        indexes = (("state", "id"), ("sender", "received_at"), ("message_id",))

    @classmethod
    async def receive(cls, raw: bytes, source: str) -> Any:
        """Take in a mail, deal with it at once, and return its row with what was decided.

        Raises UserError where that source was taken in before.
        """
        spool_id = await spool.store(raw, source)
        if spool_id is None:
            raise UserError(f'The mail "{source}" was taken in before.')
        await receive.process([spool_id])
        return await get_model("InboundEmail").get(id=spool_id)

    @classmethod
    async def take_in(
        cls, raw: bytes, way: str, return_path: str | None = None, recipients: Sequence[str] = ()
    ) -> int | None:
        """Commit a mail that came by a way, such as "webhook", with what its envelope said, and return its row's id;
        None where it was taken in before. A worker deals with it at once.
        """
        source = intake.identity(way, raw, return_path or "", recipients)
        return await intake.take_in(intake.with_envelope(raw, return_path, recipients), source)

    @classmethod
    async def take_in_reply(cls, raw: bytes) -> bool:
        """Commit a mail that anybody may bring, if it is to a reply address that we gave out; whether it was."""
        return await intake.take_in_reply(raw)

    @classmethod
    async def load(cls, files: Iterable[BinaryIO], at_once: int) -> load.Loaded:
        """Take in the mails of `.eml` and mbox files, deal with the first `at_once` of them, and return what became."""
        return await load.load_files(files, at_once)

    async def proposals(self, email: IncomingEmail, access: Access) -> Proposals:
        """Return the records and routes that the mail, read as `email`, may belong to, as far as the user may read."""
        return await proposals_for(email, access)

    async def content(self) -> bytes:
        """Return the mail's bytes as they came."""
        return await spool.raw_of(self.pk)

    @api_method(title="Deal with it again")
    async def replay(self, *, again: bool = False) -> Any:
        """Put the mail through the rules again, and return its row.

        One that became something already is only repeated with `again`, else UserError: then a new row, linked by
        `original`, tells what became of it this time.
        """
        account = await replay.replay(self.pk, again=again)
        await self.refresh_from_db()
        if account.original != self.pk:
            return self
        return await get_model("InboundEmail").filter(original_id=self.pk).order_by("-id").first()

    async def assign(self, model: str, record_id: int) -> None:
        """Put a mail that led to nothing on a record's timeline; UserError for one that became something already."""
        await by_hand.assign(self.pk, model, record_id)
        await self.refresh_from_db()

    async def create_by(self, route_id: int) -> None:
        """Let a route make a record of a mail that led to nothing, whatever the route says of its sender."""
        await by_hand.create(self.pk, route_id)
        await self.refresh_from_db()

    @api_method(title="Throw away")
    async def discard(self, reason: str = "") -> None:
        """Say that nobody need look at the mail any more. It stays, whole, with who said so and why."""
        await by_hand.discard(self.pk, reason)
        await self.refresh_from_db()
