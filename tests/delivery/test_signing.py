"""Which keys sign a mail, on both databases, and what follows where they cannot."""

from __future__ import annotations

from typing import Any

import pytest

from core.delivery.signing import signers
from core.errors import TemporaryFailure, UserError
from core.mail.dkim import Algorithm, new_private_key
from core.orm.serialize import plain_data
from core.runtime import Runtime, get_model, runtime

pytestmark = pytest.mark.anyio

MAIL = b"From: office@acme.test\r\nSubject: x\r\n\r\nHello\r\n"


async def _key(domain: str = "acme.test", selector: str = "s1", **options: Any) -> Any:
    return await get_model("DkimKey").generate(domain, selector, Algorithm.ED25519, **options)


async def _selectors(domain: str) -> list[str]:
    return [key.selector for key in (await signers([domain]))[domain].keys]


async def test_a_domain_without_keys_signs_nothing(host: Runtime) -> None:
    assert (await signers(["acme.test"]))["acme.test"].sign(MAIL) == MAIL
    assert await signers([]) == {}


async def test_every_active_key_of_the_domain_signs(host: Runtime) -> None:
    await _key()
    await _key(selector="s2")
    await _key(selector="s3", active=False)
    signer = (await signers(["acme.test", "other.test"]))["acme.test"]
    signed = signer.sign(MAIL)
    assert [b"s=s1;" in signed, b"s=s2;" in signed, b"s=s3;" in signed] == [True, True, False]


async def test_the_nearest_parent_signs_where_a_domain_has_no_keys(host: Runtime) -> None:
    await _key("acme.test", "parent")
    await _key("sub.acme.test", "own")
    await _key("test", "top")
    assert await _selectors("acme.test") == ["parent"]
    assert await _selectors("deep.sub.acme.test") == ["own"]
    assert await _selectors("news.acme.test") == ["parent"]
    assert await _selectors("notacme.test") == []


async def test_a_domain_beyond_ascii_is_kept_in_its_dns_form(host: Runtime) -> None:
    key = await _key(" Bücher.Example. ", "S1")
    assert key.record_name == "s1._domainkey.xn--bcher-kva.example"
    assert await _selectors("xn--bcher-kva.example") == ["s1"]


async def _spoil(selector: str) -> None:
    """Leave a secret that was encrypted with another SECRET_KEY."""
    await runtime().database.fetch(f"UPDATE dkim_key SET private_key = 'gAAAAA-not-ours' WHERE selector = '{selector}'")


async def test_a_key_that_cannot_be_read_holds_the_mail_back(host: Runtime) -> None:
    await _key()
    await _spoil("s1")
    with pytest.raises(TemporaryFailure, match=r"s1 of acme\.test.*SECRET_KEY.*postroom dkim generate acme\.test"):
        (await signers(["acme.test"]))["acme.test"].sign(MAIL)
    key = await get_model("DkimKey").get()
    public_key, key.active = key.public_key, False
    await key.save()
    assert (await signers(["acme.test"]))["acme.test"].sign(MAIL) == MAIL
    assert (await get_model("DkimKey").get()).public_key == public_key


async def test_one_broken_key_of_two_holds_nothing_back(host: Runtime) -> None:
    await _key()
    await _key(selector="s2")
    await _spoil("s1")
    assert b"s=s2;" in (await signers(["acme.test"]))["acme.test"].sign(MAIL)


async def test_a_key_of_ones_own_is_taken_and_never_shown(host: Runtime) -> None:
    pem = new_private_key(Algorithm.ED25519)
    key = await get_model("DkimKey").create(domain="acme.test", selector="own", private_key=pem)
    assert key.algorithm == "ed25519"
    assert key.record_text.startswith("v=DKIM1; k=ed25519; p=")
    shown = await plain_data(key)
    assert "private_key" not in shown
    assert shown["public_key"] in key.record_text
    stored = await runtime().database.fetch("SELECT private_key FROM dkim_key")
    assert "PRIVATE" not in stored[0]["private_key"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"domain": "acme test"}, "domain: "),
        ({"domain": ""}, "domain: "),
        ({"selector": "a;b=c"}, "selector: "),
        ({"selector": "x\r\nBcc: y"}, "selector: "),
        ({"private_key": "secret"}, "private key"),
        ({"lifetime_days": -1}, "lifetime_days"),
        ({"lifetime_days": 10**9}, "lifetime_days"),
        ({"algorithm": "dsa"}, "rsa or ed25519"),
    ],
)
async def test_a_key_that_could_not_sign_is_refused(host: Runtime, values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        await get_model("DkimKey").create(**{"domain": "acme.test", "selector": "s1", "algorithm": "ed25519", **values})


async def test_a_published_key_is_not_replaced_by_mistake(host: Runtime) -> None:
    key = await _key()
    key.private_key = ""
    with pytest.raises(UserError, match="new selector"):
        await key.save()


async def test_a_selector_is_taken_once(host: Runtime) -> None:
    await _key()
    with pytest.raises(UserError, match="s1 already"):
        await _key("ACME.test", "S1")
