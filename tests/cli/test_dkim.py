"""From making a key to mail that is signed, as an operator goes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import anyio.from_thread
import pytest

from tests.acceptance.command import Postroom
from tests.servers.name_server import NameServer


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Postroom:
    folder = tmp_path_factory.mktemp("site")
    site = Postroom(folder, DATABASE_URL=f"sqlite://{folder}/postroom.db", MAIL_MODE="catch", MAIL_DOMAIN="acme.test")
    site.call("init")
    return site


@pytest.fixture
def dns() -> Iterator[NameServer]:
    with anyio.from_thread.start_blocking_portal() as portal, portal.wrap_async_context_manager(NameServer()) as server:
        yield server


def test_a_key_is_made_published_checked_and_used(site: Postroom, dns: NameServer) -> None:
    said = site.call("dkim", "generate", "acme.test", "--selector", "s1")
    assert "s1._domainkey.acme.test\n  v=DKIM1; k=rsa; p=" in said
    assert not site.json("dkim", "ls")[0]["active"]

    ask = ("acme.test", "--name-server", dns.address)
    said = site.call("dkim", "check", *ask, code=1)
    assert "FAILED signing acme.test: No key is enabled" in said
    assert "FAILED DKIM s1._domainkey.acme.test: Nothing is published." in said
    assert "FAILED SPF acme.test" in said
    assert "FAILED DMARC acme.test" in said
    assert "Nothing is published" in site.call("dkim", "enable", *ask, "--selector", "s1", code=1)
    assert not site.json("dkim", "ls")[0]["active"]

    records = {row["name"]: row["text"] for row in site.json("dkim", "dns", "acme.test")}
    dns.texts = {name: [text] for name, text in records.items()}
    assert len(records) == 3
    assert "signed with s1" in site.call("dkim", "enable", *ask, "--selector", "S1")
    assert site.json("dkim", "ls")[0]["active"]
    assert all(finding["ok"] for finding in site.json("dkim", "check", *ask))
    assert "unsigned" in site.call("dkim", "disable", "acme.test", "--selector", "s1")
    assert not site.json("dkim", "ls")[0]["active"]


def test_the_policy_of_a_domain_above_holds_below_it(site: Postroom, dns: NameServer) -> None:
    dns.texts = {"_dmarc.example.org": ["v=DMARC1; p=reject"]}
    findings = site.call("dkim", "check", "news.example.org", "--name-server", dns.address, code=1)
    assert "ok     DMARC example.org: v=DMARC1; p=reject" in findings
    assert "Make one: postroom dkim generate news.example.org" in findings


def test_no_secret_is_shown_and_a_zone_file_gets_pieces(site: Postroom) -> None:
    site.call("dkim", "generate", "zone.test")
    site.call("dkim", "enable", "zone.test", "--selector", "postroom", "--unchecked")
    shown = site.call("dkim", "dns", "zone.test", "--zone") + site.call("dkim", "ls", "--json")
    assert "PRIVATE" not in shown
    assert "gAAAA" not in shown
    assert all(len(piece) <= 255 for piece in shown.splitlines()[0].split('"')[1::2])


def test_a_key_whose_secret_is_lost_is_still_listed_and_disabled(site: Postroom, dns: NameServer) -> None:
    site.call("dkim", "generate", "lost.test", "--algorithm", "ed25519")
    with closing(sqlite3.connect(site.folder / "postroom.db")) as database, database:
        database.execute("UPDATE dkim_key SET private_key = 'gAAAAA', active = 1 WHERE domain = 'lost.test'")
    assert "lost.test" in site.call("dkim", "ls")
    assert "SECRET_KEY" in site.call("dkim", "check", "sub.lost.test", "--name-server", dns.address, code=1)
    assert "DKIM key postroom of lost.test" in site.call("doctor", code=1)
    site.call("dkim", "disable", "lost.test", "--selector", "postroom")
    assert "domains with DKIM keys" in site.call("doctor")


def test_a_domain_with_ed25519_alone_is_told(site: Postroom, dns: NameServer) -> None:
    site.call("dkim", "generate", "new.test", "--algorithm", "ed25519")
    site.call("dkim", "enable", "new.test", "--selector", "postroom", "--unchecked")
    assert "No RSA key" in site.call("dkim", "check", "new.test", "--name-server", dns.address, code=1)


def test_what_is_not_there_is_told(site: Postroom, dns: NameServer) -> None:
    site.call("dkim", "generate", "twice.test", "--algorithm", "ed25519")
    assert "choose another selector" in site.call("dkim", "generate", "twice.test", code=1)
    assert 'Did you mean "postroom"?' in site.call("dkim", "enable", "twice.test", "--selector", "postrom", code=2)
    assert "postroom dkim generate none.test" in site.call("dkim", "dns", "none.test", code=1)
    dns.failing = True
    assert "does not say" in site.call("dkim", "check", "twice.test", "--name-server", dns.address, code=3)
