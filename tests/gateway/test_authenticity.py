"""Who a mail is from, from the wire to the timeline, with a real name server and real signatures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import pytest

from core.gateway import spool
from core.gateway.explain import explain
from core.gateway.receive import process
from core.mail.dkim import Algorithm, SigningKey, new_private_key, public_key_of, read_private_key, record_text, sign
from core.runtime import Runtime, get_model
from core.transport.names import DnsNames
from tests.gateway.conftest import change_settings, mail
from tests.servers.name_server import NameServer

pytestmark = pytest.mark.anyio

KEY = read_private_key(new_private_key(Algorithm.ED25519))
PUBLISHED = {
    "sel._domainkey.our.test": [record_text(Algorithm.ED25519, public_key_of(KEY))],
    "_dmarc.our.test": ["v=DMARC1; p=reject"],
    "acme.test": ["v=spf1 ip4:81.2.69.160 -all"],
}


@pytest.fixture
async def names(host: Runtime) -> AsyncIterator[NameServer]:
    async with NameServer(PUBLISHED) as server:
        host.names = DnsNames(server.address, answer_s=0.2)
        yield server


@pytest.fixture
async def grace(host: Runtime) -> Any:
    contact = await get_model("Contact").create(name="Grace", email="grace@our.test")
    user = await get_model("User").create(login="grace@our.test", name="Grace", contact=contact)
    for policy in ("everyone", "known", "staff"):
        await get_model("EmailRoute").create(address=policy, target_model="Ticket", sender_policy=policy)
    return user


async def entry_of(raw: bytes, source: str = "test:1") -> Any:
    spool_id = await spool.store(raw, source)
    assert spool_id is not None
    (account,) = await process([spool_id])
    return await get_model("Message").get_or_none(id=account.message) if account.message else account


def signed(raw: bytes) -> bytes:
    return sign(raw, [SigningKey("our.test", "sel", KEY)])


async def test_i5_a_signed_mail_of_a_user_is_that_users(names: NameServer, grace: Any) -> None:
    raw = signed(mail("By me", to="staff@our.test", sender="grace@our.test"))
    entry = await entry_of(raw)
    assert (entry.author_id, entry.authenticity) == (grace.id, "pass")
    assert entry.authenticity_reason == "our.test vouches for it by DKIM."


@pytest.mark.parametrize("raw", [mail("Forged", to="{}", sender="grace@our.test")])
async def test_i5_an_unsigned_one_is_nobodys(names: NameServer, grace: Any, raw: bytes) -> None:
    entry = await entry_of(raw.replace(b"{}", b"everyone@our.test"))
    assert (entry.author_id, entry.authenticity) == (None, "fail")
    assert "asks not to believe" in entry.authenticity_reason
    for alias in (b"known@our.test", b"staff@our.test"):
        account = await entry_of(raw.replace(b"{}", alias), alias.decode())
        assert account.outcome == "unmatched"
        assert "not verified" in account.trace[-1].reason or "not verified" in str(account.trace)


async def test_i5_a_changed_one_is_nobodys(names: NameServer, grace: Any) -> None:
    raw = signed(mail("Pay Ann", to="everyone@our.test", sender="grace@our.test")).replace(b"Pay Ann", b"Pay Eve")
    assert (await entry_of(raw)).authenticity == "fail"


async def test_a_server_that_may_send_proves_its_domain(host: Runtime, names: NameServer, grace: Any) -> None:
    change_settings(host, TRUSTED_RECEIVED_BY=("mx.our.test",))
    hop = b"Received: from out.acme.test (out.acme.test [81.2.69.160]) by mx.our.test with ESMTP; Mon, 4 May 2026\r\n"
    raw = b"Return-Path: <bounce@acme.test>\r\n" + hop + mail("Sent", to="everyone@our.test", sender="kim@acme.test")
    entry = await entry_of(raw)
    assert (entry.authenticity, entry.authenticity_reason) == ("pass", "acme.test vouches for it by SPF.")
    other = await entry_of(raw.replace(b"69.160", b"69.161").replace(b"Sent", b"Else"), "test:2")
    assert other.authenticity == "none"


async def test_a_dns_that_is_away_holds_no_mail_up(names: NameServer, grace: Any) -> None:
    names.silent = True
    entry = await entry_of(signed(mail("Later", to="everyone@our.test", sender="grace@our.test")))
    assert (entry.author_id, entry.authenticity) == (None, "unknown")


async def test_i5_slow_names_hide_no_forgery(host: Runtime, names: NameServer, grace: Any) -> None:
    """Five signatures whose keys nobody tells, and an SPF policy that takes its time."""
    change_settings(host, TRUSTED_RECEIVED_BY=("mx.our.test",))
    names.texts["evil.test"] = ["v=spf1 " + " ".join(f"include:slow.{at}.test" for at in range(9)) + " -all"]
    host.names = DnsNames(names.address, answer_s=1)
    seals = b"".join(
        b"DKIM-Signature: v=1; a=rsa-sha256; d=slow.%d.test; s=slow; h=from; bh=AAAA; b=AAAA\r\n" % at
        for at in range(5)
    )
    hop = b"Return-Path: <a@evil.test>\r\nReceived: from a (a [81.2.69.160]) by mx.our.test; Mon, 4 May 2026\r\n"
    entry = await entry_of(hop + seals + mail("Forged", to="everyone@our.test", sender="grace@our.test"))
    assert (entry.author_id, entry.authenticity) == (None, "fail")


async def test_a_mail_is_judged_once(host: Runtime, names: NameServer, grace: Any) -> None:
    raw = signed(mail("Later", to="nobody@our.test", sender="grace@our.test"))
    spool_id = await spool.store(raw, "test:1")
    assert spool_id is not None
    await process([spool_id])
    row = await get_model("InboundEmail").get(id=spool_id)
    assert row.authentication["verdict"] == "pass"
    await get_model("EmailRoute").create(address="nobody", target_model="Ticket", sender_policy="staff")
    names.texts.clear()
    host.names = DnsNames(names.address)
    await row.replay()
    assert (await get_model("Message").get(id=row.message_id)).author_id == grace.id


async def test_explaining_judges_too(names: NameServer, grace: Any) -> None:
    raw = signed(mail("By me", to="staff@our.test", sender="grace@our.test"))
    assert (await explain(raw)).outcome == "record"
    assert (await explain(raw.replace(b"By me", b"By Eve"))).outcome == "unmatched"


async def test_i6_a_file_that_a_person_brings_vouches_for_nobody(host: Runtime, grace: Any) -> None:
    change_settings(host, TRUSTED_AUTHSERV_ID="mx.our.test")
    forged = b"Authentication-Results: mx.our.test; dmarc=pass header.from=our.test\r\n"
    raw = forged + mail("By Grace", to="everyone@our.test", sender="grace@our.test")
    loaded = await get_model("InboundEmail").load([BytesIO(raw)], 1)
    entry = await get_model("Message").get(id=loaded.accounts[0].message)
    assert (entry.author_id, entry.authenticity) == (None, "none")
    row = await get_model("InboundEmail").get(message_id=entry.id)
    again = await row.replay(again=True)
    assert again.authentication["verdict"] == "none"
