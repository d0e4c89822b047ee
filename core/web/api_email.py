"""JSON for whoever writes mail from a record: what may stand in it, and sending it (shapes of `reference/002`)."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import Field, StringConstraints

from core.access import Right
from core.mail.sanitise import HTML_MAX_CHARS
from core.runtime import acting_user, get_model
from core.web.comments import EmailMetadata, metadata_of
from core.web.guard import Allowed, scope
from core.web.idempotency import keyed
from core.web.rate import pace
from core.web.record_email import Order, addresses_of, send_from_record
from core.web.route import ApiRoute
from core.web.tables import Number, RecordOfTable, Shape, record_of

router = APIRouter(prefix="/api/email", tags=["e-mail"], route_class=ApiRoute)

_MOST_NAMES = 10_000
Address = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Addresses = list[Address] | None


class FromIdentity(Shape):
    """Who stands in From; the domain of `email` must be one of the server's From domains."""

    name: str | None = Field(None, max_length=200, examples=["Sales"])
    email: Address = Field(examples=["sales@acme.example"])


class AttachedFile(Shape):
    """A file that was uploaded before. Its `path` begins `/space-{id}-table-{tableId}-`; it alone says which file."""

    name: str | None = Field(None, max_length=255)
    path: str = Field(min_length=1, max_length=400)
    type: str | None = Field(None, max_length=255)
    size: Number | None = None
    host: str | None = Field(None, max_length=500)


class EmailOrder(RecordOfTable):
    """A mail from a record.

    `subject` and `body` may hold `{{field:slug}}`, which stands for that field of the record when the mail is sent.
    Without `signatureId` the user's default signature is put under it, with null none.
    """

    smtp_integration_id: Number = Field(examples=[1])
    from_identity: FromIdentity
    to: Addresses = Field(None, max_length=_MOST_NAMES, examples=[["lead@example.org"]])
    cc: Addresses = Field(None, max_length=_MOST_NAMES)
    bcc: Addresses = Field(None, max_length=_MOST_NAMES)
    subject: str | None = Field(None, max_length=998, examples=["Welcome {{field:name}}"])
    body: str | None = Field(None, max_length=HTML_MAX_CHARS, examples=["<p>Hi {{field:name}},</p>"])
    signature_id: Number | None = None
    attachments: list[AttachedFile] | None = Field(None, max_length=1_000)


class OrderedComment(Shape):
    """The comment that stands on the record from now on."""

    id: int
    type: Literal["email_out"] = "email_out"
    metadata: EmailMetadata


class OrderedEmail(Shape):
    """A mail that is on its way; `/api/table/{tid}/record/{rid}/comments/get` tells what becomes of it."""

    id: int
    status: Literal["queued"] = "queued"
    comment: OrderedComment


class FieldChoice(Shape):
    """A field that `{{field:id}}` may stand for."""

    id: str = Field(examples=["name"])
    name: str = Field(examples=["Name"])


class RecordContext(Shape):
    """The addresses that a record knows, and the fields that a mail from it may name."""

    emails: list[str] = Field(examples=[["lead@example.org"]])
    fields: list[FieldChoice]


@router.post(
    "/send",
    status_code=202,
    summary="Send a mail from a record",
    dependencies=[Depends(scope("mail")), Depends(pace("sending"))],
)
async def send(order: EmailOrder, access: Allowed) -> OrderedEmail:
    """Queue a mail and put it on the record's timeline; its answers come there too, by the reply address it bears."""
    record = await record_of(access, order.table_id, order.record_id, Right.WRITE)
    message = await send_from_record(access, acting_user(), record, _order(order))
    metadata = await metadata_of(message.pk, access)
    return OrderedEmail(id=message.pk, comment=OrderedComment(id=message.pk, metadata=metadata))


@router.post("/recordContext", summary="What a mail from a record may name", dependencies=[Depends(keyed("ignored"))])
async def record_context(asked: RecordOfTable, access: Allowed) -> RecordContext:
    """Return the e-mail addresses of a record and of its contact, and its fields that the user may read."""
    record = await record_of(access, asked.table_id, asked.record_id, Right.WRITE)
    choices: dict[str, str] = get_model("Message").field_choices(type(record).__name__, access)
    return RecordContext(
        emails=await addresses_of(record, choices),
        fields=[FieldChoice(id=slug, name=title) for slug, title in choices.items()],
    )


def _order(asked: EmailOrder) -> Order:
    has_choice = "signature_id" in asked.model_fields_set
    return Order(
        table_id=asked.table_id,
        server_id=asked.smtp_integration_id,
        from_name=asked.from_identity.name or "",
        from_address=asked.from_identity.email,
        to=tuple(asked.to or ()),
        cc=tuple(asked.cc or ()),
        bcc=tuple(asked.bcc or ()),
        subject=asked.subject or "",
        body=asked.body or "",
        signature_id=asked.signature_id,
        uses_default_signature=not has_choice,
        paths=tuple(file.path for file in asked.attachments or ()),
    )
