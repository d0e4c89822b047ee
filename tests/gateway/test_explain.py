"""Explaining a mail writes nothing and says what receiving it then does; replaying tries again what led to nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.errors import UnknownName, UserError
from core.gateway import spool
from core.gateway.explain import explain
from core.gateway.load import load
from core.gateway.receive import process
from core.gateway.replay import replay
from core.gateway.values import Account, Outcome
from core.runtime import Runtime, get_model, runtime
from tests.gateway.conftest import ORIGINAL, SAMPLES, TOKEN, change_settings, mail, sample

pytestmark = pytest.mark.anyio

NAMES = sorted(file.stem for file in SAMPLES.glob("*.eml"))


async def rows_of_all_tables() -> dict[str, list[Any]]:
    return {
        entry.name: await runtime().registry.get(entry.name).all().order_by("id").values()
        for entry in runtime().registry
    }


def without_ids(account: Account) -> Account:
    """Leave off what only writing can tell, the ids of what is new; and what only a dry run tells."""
    records = tuple(name.partition(":")[0] for name in account.records)
    is_new = account.outcome is Outcome.RECORD
    record = (account.record or "").partition(":")[0] if is_new else account.record
    return replace(account, message=None, record=record, records=records, fields={}, source="")


@pytest.mark.parametrize("name", NAMES)
async def test_explaining_writes_nothing_and_foretells_what_happens(
    routes: dict[str, Any], invoice: Any, name: str
) -> None:
    before = await rows_of_all_tables()
    foretold = await explain(sample(name))
    assert await rows_of_all_tables() == before
    spool_id = await spool.store(sample(name), f"test:{name}")
    assert spool_id is not None
    (happened,) = await process([spool_id])
    assert without_ids(happened) == without_ids(foretold)


_TO = st.sampled_from(
    ["leads@our.test", "orders@our.test", "x@our.test", f"catchall+{TOKEN}@our.test", "a@b.test", "LEADS+x@our.test"]
)
_REFERENCE = st.sampled_from(["", ORIGINAL, "<unknown@x.test>"])
_SUBJECT = st.sampled_from(
    ["Hello", "unwanted", "poison", "urgent", "Automatic reply: away", "\x00\xff", "refuse me", "Re: Your invoice"]
)
_HEADER = st.sampled_from(
    [
        ("X-Nothing", "at all"),
        ("Delivered-To", "orders@our.test"),
        ("X-Original-To", "support+x@our.test"),
        ("Cc", "orders@our.test, leads+b@our.test"),
        ("Cc", "board@our.test"),
        ("X-Loop", "leads@our.test"),
        ("Return-Path", "<>"),
        ("In-Reply-To", ORIGINAL),
        ("Date", "Mon, 2 Jun 2025 09:00:00 +0000"),
    ]
)


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    to=st.lists(_TO, min_size=0, max_size=3),
    reference=_REFERENCE,
    subject=_SUBJECT,
    header=_HEADER,
    number=st.integers(0, 10**12),
)
async def test_the_trace_is_what_really_happened(
    routes: dict[str, Any],
    invoice: Any,
    to: list[str],
    reference: str,
    subject: str,
    header: tuple[str, str],
    number: int,
) -> None:
    await get_model("EmailRoute").get_or_create(
        address="board", defaults={"target_model": "Order", "target_name_field": "title", "sender_policy": "staff"}
    )
    plain = mail(subject, to=", ".join(to), References=reference, message_id=f"<{number}@customer.test>")
    raw = f"{header[0]}: {header[1]}\r\n".encode() + plain
    foretold = await explain(raw)
    spool_id = await spool.store(raw, foretold.source)
    if spool_id is not None:
        (happened,) = await process([spool_id])
        assert without_ids(happened) == without_ids(foretold)
        row = await get_model("InboundEmail").get(id=spool_id)
        assert [(step["rule"], step["hit"]) for step in row.trace] == [(one.rule, one.hit) for one in foretold.trace]


async def test_every_rule_that_was_asked_is_in_the_trace(routes: dict[str, Any]) -> None:
    account = await explain(sample("nobody_we_know"))
    rules = [
        "duplicate",
        "loop",
        "unsubscribe",
        "automatic",
        "bounce",
        "complaint",
        "receipt",
        "challenge",
        "volume",
        "reply_token",
        "reply_reference",
        "desk",
        "alias",
        "catch_all",
        "mail_account",
        "fallback",
    ]
    assert [step.rule for step in account.trace] == [*rules, "unmatched"]
    assert [step.hit for step in account.trace] == [False] * len(rules) + [True]
    assert account.trace[-1].reason == "no alias and no message is known for nobody@our.test"
    assert [step.reason for step in account.trace if step.rule != "desk"][:-1] == [
        *("first copy", "no mail of ours come back", "no signed address to unsubscribe at"),
        *("no sign of a program", "no delivery report", "no complaint", "no read receipt", "no challenge"),
        "its sender does not write often",
        *("no reply token among the recipients", "it refers to no message"),
        *("no alias among the recipients", "no catch-all at the recipients' domains"),
        *("it was fetched for no mail account", "no FALLBACK_ALIAS is set"),
    ]


async def test_the_line_for_scripts(routes: dict[str, Any]) -> None:
    line = (await explain(sample("plain"))).as_dict()
    assert set(line) == {
        *("source", "outcome", "record", "message", "author", "trace", "bounces", "automatic", "error"),
        *("records", "fields", "answer", "company_id", "original", "waits", "door", "file"),
    }
    assert (line["outcome"], line["record"], line["message"]) == ("record", "Ticket", None)
    assert line["trace"][0] == {"rule": "duplicate", "hit": False, "reason": "first copy"}


async def test_an_unmatched_mail_is_replayed_once_there_is_a_route(routes: dict[str, Any]) -> None:
    spool_id = await spool.store(sample("nobody_we_know"), "test:1")
    assert spool_id is not None
    await process([spool_id])
    assert (await replay(spool_id)).outcome is Outcome.UNMATCHED
    await get_model("EmailRoute").create(address="nobody", target_model="Ticket")
    account = await replay(spool_id)
    assert account.outcome is Outcome.RECORD
    with pytest.raises(UserError, match="became a record already"):
        await replay(spool_id)
    assert await get_model("Ticket").all().count() == 1
    with pytest.raises(UnknownName, match="no mail 999"):
        await replay(999)


async def test_a_quarantined_mail_gets_all_its_tries_again(routes: dict[str, Any]) -> None:
    spool_id = await spool.store(mail("crash the rule"), "test:1")
    assert spool_id is not None
    for _ in range(3):
        (account,) = await process([spool_id])
    assert account.outcome is Outcome.QUARANTINED
    assert (await replay(spool_id)).outcome is Outcome.FAILED
    row = await get_model("InboundEmail").get(id=spool_id)
    assert (row.state, row.tries) == ("received", 1)


async def test_a_failed_creation_is_replayed_and_its_copy_is_still_a_copy(routes: dict[str, Any]) -> None:
    raw = mail("refuse me", message_id="<refused@customer.test>")
    first = await spool.store(raw, "test:1")
    second = await spool.store(b"X: 1\r\n" + raw, "test:2")
    assert first is not None
    assert second is not None
    accounts = await process([first, second])
    assert [account.outcome for account in accounts] == [Outcome.UNROUTED, Outcome.DUPLICATE]
    assert (await replay(first)).outcome is Outcome.UNROUTED
    assert (await replay(second)).outcome is Outcome.DUPLICATE


async def test_loading_files_folders_and_mboxes(routes: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "one.eml").write_bytes(sample("plain"))
    (tmp_path / "ignored.txt").write_text("no mail")
    (tmp_path / "two.mbox").write_bytes((SAMPLES / "sample.mbox").read_bytes())
    accounts = [account async for account in load([tmp_path])]
    assert [account.outcome for account in accounts] == [Outcome.RECORD] * 3
    subjects = await get_model("Ticket").all().order_by("id").values_list("name", flat=True)
    assert subjects == ["We would like an offer", "First of the mbox", "Second of the mbox"]
    entry = await get_model("Message").get(id=accounts[1].message)
    assert entry.text == "A line.\nFrom here on it is quoted."
    again = [account async for account in load([tmp_path / "one.eml"])]
    assert [(account.outcome, account.record) for account in again] == [(Outcome.DUPLICATE, accounts[0].record)]


async def test_what_cannot_be_read_is_told_once_all_else_is_brought_in(routes: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "box" / "cur").mkdir(parents=True)
    kept = tmp_path / "box" / "cur" / "1700000000.M1P1.host:2,S"
    kept.write_bytes(sample("plain"))
    (tmp_path / "UPPER.EML").write_bytes(mail("Upper"))
    paths = [tmp_path / "nothing.eml", tmp_path / "empty", tmp_path / "box", tmp_path / "UPPER.EML"]
    files: list[str | None] = []

    async def load_all() -> None:
        async for account in load(paths):
            files.append(account.file)

    with pytest.raises(UserError) as told:
        await load_all()
    assert files == [str(kept), str(tmp_path / "UPPER.EML")]
    assert "nothing.eml cannot be read" in str(told.value)
    assert "empty holds no mail" in str(told.value)
    assert [account.outcome async for account in load([tmp_path / "box"])] == [Outcome.DUPLICATE]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "lower.eml").write_bytes(mail("Lower"))
    (tmp_path / "folder" / "UPPER.EML").write_bytes(mail("Other"))
    assert len([account async for account in load([tmp_path / "folder"])]) == 2


async def test_loading_a_mail_over_the_limit_stores_nothing(host: Runtime, tmp_path: Path) -> None:
    change_settings(host, MAX_MAIL_BYTES=100)
    (tmp_path / "large.eml").write_bytes(b"x" * 101)
    with pytest.raises(UserError, match="MAX_MAIL_BYTES"):
        [account async for account in load([tmp_path / "large.eml"])]
    assert await get_model("InboundEmail").all().count() == 0


async def test_a_sentence_that_starts_with_from_is_no_separator_of_an_mbox(
    routes: dict[str, Any], tmp_path: Path
) -> None:
    raw = b"From ada\nFrom: ada@customer.test\nTo: leads@our.test\n\nYes.\n\nFrom my side that is all.\n"
    (tmp_path / "one.mbox").write_bytes(raw)
    (account,) = [account async for account in load([tmp_path])]
    assert (await get_model("Message").get(id=account.message)).text == "Yes.\n\nFrom my side that is all."
