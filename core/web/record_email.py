"""A mail that a user writes from a record: whether it may go like that, and its way into the queue.

Whoever calls has been let to the record for writing before.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tortoise.expressions import Q

from core.access import Access, Right
from core.errors import AddressError, PostroomError, UnknownName, UserError
from core.mail.address import domain_of, header_text, normalised, parse_address, tolerant_addresses
from core.mail.field_tokens import slugs_in
from core.mail.thread import REPLY_ALIAS, reply_address
from core.orm.transaction import transaction
from core.runtime import get_model, settings
from core.web.attached import visible_files


class ForeignSender(PostroomError):
    """The From address is of a domain that the chosen server does not write as: 400."""

    code = "foreign_sender"


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for. `signature_id` None means no signature, unless `uses_default_signature`."""

    table_id: int
    server_id: int
    from_name: str
    from_address: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    subject: str
    body: str
    signature_id: int | None
    uses_default_signature: bool
    paths: tuple[str, ...]


async def send_from_record(access: Access, user: Any, record: Any, order: Order) -> Any:
    """Queue the mail as a message on the record's timeline; returns the Message.

    Raises AccessDenied, UnknownName, ForeignSender or UserError where it may not go, and then nothing was done.
    """
    access.require("Message", Right.CREATE)
    server = await _server(user, order.server_id)
    sender = _sender(server, order)
    if not (order.to or order.cc or order.bcc):
        raise UserError("The mail has no recipient; give at least one address in to, cc or bcc.")
    model = type(record).__name__
    get_model("Message").check_field_tokens(model, access, order.subject, order.body)
    signature = await _signature(user, order.signature_id)
    files = await _files(access, order.table_id, order.paths)
    token = secrets.token_hex(16)
    values = settings()
    async with transaction():
        await _take_files(files, model, record.pk)
        return await record.post_message(
            order.body,
            subject=order.subject,
            author=user,
            to=order.to,
            cc=order.cc,
            bcc=order.bcc,
            attachments=files,
            from_email=sender,
            server=str(server.pk),
            reply_to=reply_address(token, REPLY_ALIAS, values.MAIL_DOMAIN, "-"),
            tracking_identifier=token,
            signature=signature,
            include_signature=signature is not None or order.uses_default_signature,
            # The body is the program's own design.
            use_company_branding=False,
            has_field_tokens=bool(slugs_in(order.subject, order.body)),
            png_pixel=True,
        )


async def addresses_of(record: Any, readable: Iterable[str]) -> list[str]:
    """Return the addresses in those of a record's fields that are for e-mail, and its correspondent's, each once."""
    texts = [getattr(record, name) for name in readable if _is_for_email(record, name)]
    correspondent = await record._collaborate_contact()
    texts += [correspondent.email] if correspondent is not None else []
    found = (mailbox.address for text in texts if text for mailbox in tolerant_addresses(str(text)))
    return list({normalised(address): address for address in reversed(list(found))}.values())[::-1]


def _is_for_email(record: Any, name: str) -> bool:
    return "email" in name.split("_") and name in record._meta.db_fields


async def _server(user: Any, server_id: int) -> Any:
    options = await get_model("OutgoingMailServer").options(user)
    server = next((one for one in options if one.pk == server_id), None)
    if server is None:
        raise UnknownName(f"There is no mail server {server_id} for you; /api/email/smtpOptions lists those there are.")
    return server


def _sender(server: Any, order: Order) -> str:
    """Return the From address in header form."""
    try:
        address = parse_address(order.from_address).address
    except AddressError as error:
        raise ForeignSender(str(error)) from error
    allowed = {domain_of(f"@{one.strip().lstrip('@').rstrip('.')}") for one in server.from_domains}
    if domain_of(address) not in allowed:
        domains = f"as {', '.join(sorted(allowed))} only" if allowed else "from no record, as it has no From domains"
        raise ForeignSender(f"{server.name} writes {domains}, not as {address}.")
    name = " ".join(header_text(order.from_name).split())
    return '"{}" <{}>'.format(re.sub(r'([\\"])', r"\\\1", name), address) if name else address


async def _signature(user: Any, signature_id: int | None) -> str | None:
    if signature_id is None:
        return None
    signature = await get_model("EmailSignature").get_or_none(id=signature_id, user_id=user.pk)
    if signature is None:
        raise UnknownName(f"You have no signature {signature_id}; /api/email/signatures/list lists yours.")
    return str(signature.html)


async def _files(access: Access, table_id: int, paths: Sequence[str]) -> list[Any]:
    """Return the files with these paths, which must be of this table and the user's to see."""
    of_table = re.compile(rf"/?space-[0-9]{{1,19}}-table-{table_id}-([0-9a-f-]{{36}}(?=-))?.")
    uuids: list[str] = []
    for path in paths:
        match = of_table.match(path)
        if match is None:
            raise UserError(
                f"{path[:100]!r} is no file of table {table_id}; upload it for that table, and give the path that the "
                "upload answers with."
            )
        uuids.append(match[1] or "")
    wanted = list(dict.fromkeys(f"/{path.lstrip('/')}" for path in paths))
    named = Q(Q(path__in=wanted), Q(path__isnull=True, uuid__in=uuids), join_type=Q.OR)
    stored = await get_model("Attachment").without_content().filter(named)
    files = {file.path_for(table_id): file for file in await visible_files(access, stored)}
    if missing := next((path for path in wanted if path not in files), None):
        raise UnknownName(f"There is no file {missing[:100]!r} that you may see; upload it again.")
    return [files[path] for path in wanted]


async def _take_files(files: Sequence[Any], model: str, record_id: int) -> None:
    """Hang files that hung on nothing yet on the record, so that whoever reads its timeline may open them."""
    loose = get_model("Attachment").filter(id__in=[file.pk for file in files], res_model=None)
    await loose.update(res_model=model, res_id=record_id)
