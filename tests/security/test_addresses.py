"""S2: an address is refused before it is queued, or is the very mailbox that the server is told; never another one."""

from __future__ import annotations

from typing import Any

import fast_mail_parser
import pytest

from core.errors import AddressError
from core.mail.address import envelope_address, parse_address
from core.runtime import Runtime, get_model
from tests.databases import sqlite_alone as database_url
from tests.security.door import BREAKS, door_to

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio

HOSTILE = (
    # What parsers of the standard library turn into somebody else (CVE-2023-27043 and its kin).
    "alice@example.org)bob@evil.test",
    "alice@example.org(bob@evil.test)",
    '"v\r\nRCPT TO:<evil@x.test>\r\n"@x.test',
    "v@x.test,evil@x.test",
    "v@x.test;evil@x.test",
    "v@x.test evil@x.test",
    "=?utf-8?q?a=40b?=c@host.com",
    "=?utf-8?q?evil=40x.test=3E?=@host.com",
    "(" * 500 + "a@b.test",
    # Parameters and commands behind the address.
    "a@b.c> SIZE=1",
    "a@b.test> NOTIFY=NEVER",
    "a@b.test>\r\nRCPT TO:<evil@x.test",
    "a@b.test\r\nDATA\r\nSubject: x\r\n\r\n.\r\n",
    '"a@evil>"@x.test',
    '"evil@x.test"@y.test',
    '"a b"@x.test',
    '"\\"@x.test',
    "<a@b.test>",
    "<<a@b.test>>",
    "Kim <a@b.test> <evil@x.test>",
    "evil@x.test <a@b.test>, c@d.test",
    "Kim <a@b.test>evil",
    "a@b.test>",
    "<a@b.test",
    # Options of a sendmail program, pipes and routes.
    "-oQ/tmp@x",
    "-fevil@x.test",
    "--@x.test",
    "|/bin/sh@x.test ",
    "@relay.test:victim@x.test",
    "<@relay.test:victim@x.test>",
    "victim%x.test@relay.test ",
    # Groups, comments, literals, nothing.
    "team:a@b.test,c@d.test;",
    "undisclosed-recipients:;",
    "a@[127.0.0.1]",
    "a@127.0.0.1",
    "a@[IPv6:::1]",
    "a@",
    "@b.test",
    "a",
    "",
    " ",
    "<>",
    "a@b@c.test",
    "a..b@c.test",
    ".a@c.test",
    "a.@c.test",
    "a@.test",
    "a@b..test",
    "a@-b.test",
    "a@b-.test",
    "a@b_c.test",
    # Too long.
    "a" * 300 + "@b.test",
    "a@" + "b" * 64 + ".test",
    "a@" + "b." * 130 + "test",
    "a" * 100_000 + "@b.test",
    # Looks like another (IDN homographs, full width, KELVIN SIGN, bidirectional and invisible characters).
    "a@\uff45xample.org",
    "a@example\u3002org",
    "a@example\uff0eorg",
    "a@\u212aim.test",
    "\u212aim@b.test",
    "a\uff20b.test@c.test",
    "a@b.test\u202etset.live",
    "a\u200b@b.test",
    "a@b\u00ad.test",
    "a@xn--a.test",
    *(f"a{break_}b@c.test" for break_ in BREAKS),
    *(f"a@b{break_}c.test" for break_ in BREAKS),
    *(f"a@b.test{break_}RCPT TO:<evil@x.test>" for break_ in BREAKS),
)
GOOD = (
    "kim@customer.test",
    "Kim <kim@customer.test>",
    '"Kim, the <customer>" <kim+invoices@customer.test>',
    '"evil@x.test" <a@b.test>',
    "o'neil@localhost",
    "a@b\u00fccher.test",
    "m\u00fcller@b\u00fccher.test",
    "\u7528\u6237@\u4f8b\u5b50.test",
    "a@\u0440\u0430ypal.test",
    "x=y/z!#$%&*?^_`{|}~@b.test",
)
"""The last but one is Cyrillic, not the bank: a mailbox like any other, and told to the server as `xn--`."""


@pytest.fixture
def settings() -> dict[str, object]:
    return {"MAIL_DOMAIN": "acme.test", "MAIL_MODE": "live"}


def mailboxes_of(options: dict[str, Any]) -> set[str]:
    """Return what the envelope may name, in the words of the validated addresses."""
    texts = [*options.get("to", ()), *options.get("cc", ()), *options.get("bcc", ())]
    return {envelope_address(parse_address(text).address) for text in texts}


def told(commands: list[str], verb: str) -> list[str]:
    return [line for line in commands if line.upper().startswith(verb)]


@pytest.mark.parametrize("where", ["to", "cc", "bcc", "reply_to", "from_email", "sender"])
async def test_s2_a_hostile_address_reaches_no_server(host: Runtime, where: str) -> None:
    async with door_to() as door:
        for text in HOSTILE:
            options: dict[str, Any] = {where: text if where in ("reply_to", "from_email", "sender") else [text]}
            options = {name: value for name, value in options.items() if value}
            to = options.pop("to", ["kim@customer.test"])
            message = await door.queue(*to, **options)
            if message is None:
                continue
            accepted = await door.sent()
            assert {one.recipient for one in accepted} <= mailboxes_of({**options, "to": to}), text
        assert not any("evil" in line for line in door.mta.commands)
        told_to = set(told(door.mta.commands, "RCPT"))
        assert told_to <= {"RCPT TO:<kim@customer.test>", *_as_commands()}
        assert all(line.isprintable() for line in door.mta.commands)


def _as_commands() -> set[str]:
    """Return the commands of those hostile texts that are, to the letter, one valid mailbox all the same."""
    commands = set()
    for text in HOSTILE:
        try:
            commands.add(f"RCPT TO:<{envelope_address(parse_address(text).address)}>")
        except AddressError:
            continue
    return commands


def test_s2_few_of_them_are_mailboxes_at_all() -> None:
    assert _as_commands() == {
        "RCPT TO:<a@b.test>",  # <a@b.test> alone, in its brackets.
        "RCPT TO:<|/bin/sh@x.test>",
        "RCPT TO:<victim%x.test@relay.test>",
    }


async def test_s2_a_good_address_is_told_byte_for_byte(host: Runtime) -> None:
    async with door_to() as door:
        for text in GOOD:
            message = await door.queue(text)
            assert message is not None, (text, door.refused)
            (accepted,) = await door.sent()
            address = parse_address(text).address
            assert accepted.recipient == envelope_address(address)
            assert accepted.recipient.partition("@")[0] == address.partition("@")[0]
            (told_to,) = told(door.mta.commands, "RCPT")
            assert told_to == f"RCPT TO:<{accepted.recipient}>"
            door.mta.commands.clear()
            (in_header,) = fast_mail_parser.parse_email(accepted.raw).to
            assert in_header.address == accepted.recipient
        assert not door.refused


async def test_s2_an_address_that_was_stored_unchecked_is_checked_before_it_is_told(host: Runtime) -> None:
    """Whatever puts a row into the table, an import or a fault of an addon, the server hears no second command."""
    async with door_to() as door:
        for text in HOSTILE:
            if any("\ud800" <= char <= "\udfff" for char in text) or "\0" in text:
                continue
            message = await door.queue()
            await get_model("Delivery").filter(message_id=message.pk).update(recipient=text[:320])
        accepted = await door.sent()
        assert all(one.recipient in HOSTILE for one in accepted), "an address was turned into another one"
        assert not any("evil" in line for line in door.mta.commands)


async def test_s2_the_envelope_sender_is_one_address(host: Runtime) -> None:
    async with door_to() as door:
        await door.queue(from_email='"evil@x.test> SIZE=1" <office@acme.test>')
        await door.sent()
        (told_from,) = told(door.mta.commands, "MAIL")
        assert told_from.startswith("MAIL FROM:<bounce+")
        assert "evil" not in told_from
        assert told_from.count("<") == told_from.count(">") == 1
