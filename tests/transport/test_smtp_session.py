"""The SMTP conversation, each fault at each phase: rows 6 to 18 of the fault matrix, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import AddressError
from core.mail.retry import Outcome, Phase, classify
from core.transport.smtp import Envelope, SmtpError, SmtpSession, Timeouts, open_session
from tests.servers.fake_mta import EXTENSIONS, Act, Acts, FakeMta, Script

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops that a worker may run on."""
    return "asyncio", {"use_uvloop": request.param}


CONTENT = b"Message-ID: <1@x.test>\r\nSubject: hello\r\n\r\nbody\r\n"
SERIAL = tuple(word for word in EXTENSIONS if word != "PIPELINING")
HASTY = Timeouts(command_s=0.6, content_s=0.6, answer_s=0.6, quit_s=0.1)
both_ways = pytest.mark.parametrize("extensions", [EXTENSIONS, SERIAL], ids=["pipelined", "serial"])


def envelope(*recipients: str, size: int = len(CONTENT), **flags: bool) -> Envelope:
    return Envelope("from@x.test", recipients or ("to@x.test",), size, **flags)


@asynccontextmanager
async def session_with(script: Script | None, **account: Any) -> AsyncIterator[tuple[FakeMta, SmtpSession]]:
    async with FakeMta(script) as mta:
        session = await open_session(mta.account(**account))
        try:
            yield mta, session
        finally:
            await session.quit()


async def send(session: SmtpSession, *recipients: str) -> None:
    opened = await session.begin(envelope(*recipients))
    assert opened.is_open
    answer = await session.content(CONTENT)
    assert answer.ok


@both_ways
async def test_mails_follow_each_other(extensions: tuple[str, ...]) -> None:
    async with session_with(Script(extensions=extensions)) as (mta, session):
        opened = await session.begin(envelope("1@x.test"))
        for number in range(2, 5):
            assert opened.is_open
            answer = await session.content(CONTENT, envelope(f"{number}@x.test"))
            assert answer.ok
            opened = await session.begun()
        session.abandon()
    assert [entry.recipient for entry in mta.ledger] == ["1@x.test", "2@x.test", "3@x.test"]
    assert {entry.raw for entry in mta.ledger} == {CONTENT}


async def test_one_round_trip_per_mail() -> None:
    async with session_with(None) as (mta, session):
        await session.begin(envelope())
        turns = mta.turns
        for _ in range(20):
            await session.content(CONTENT, envelope())
            await session.begun()
        session.abandon()
        assert (mta.messages, mta.turns - turns) == (20, 20)


@both_ways
@pytest.mark.parametrize(
    ("step", "reply", "outcome"),
    [
        ("mail", "450 4.2.0 later", Outcome.TEMPORARY),
        ("mail", "451 4.3.0 local error", Outcome.TEMPORARY),
        ("mail", "550 5.7.1 no", Outcome.PERMANENT),
        ("mail", "552 5.3.4 too big", Outcome.PERMANENT),
        ("mail", "530 5.7.0 log in first", Outcome.SERVER),
        ("rcpt", "450 4.2.1 greylisted", Outcome.TEMPORARY),
        ("rcpt", "550 5.1.1 unknown", Outcome.PERMANENT),
        ("data", "451 4.3.0 no room", Outcome.TEMPORARY),
        ("data", "554 5.5.0 no", Outcome.PERMANENT),
    ],
)
async def test_a_refused_envelope_leaves_the_connection_good(
    extensions: tuple[str, ...], step: str, reply: str, outcome: Outcome
) -> None:
    script = Script(extensions=extensions, steps={step: (Act(reply=reply),)})
    async with session_with(script) as (mta, session):
        opened = await session.begin(envelope())
        assert not opened.is_open
        refusal = opened.refusal(0)
        assert refusal is not None
        phase, said = refusal
        assert (phase, str(said)) == (Phase(step), reply)
        assert classify(phase, said.code, said.enhanced) is outcome
        await send(session, "next@x.test")
    assert [entry.recipient for entry in mta.ledger] == ["next@x.test"]


@both_ways
async def test_recipients_are_answered_one_by_one(extensions: tuple[str, ...]) -> None:
    rules = {"later@x.test": Act(reply="450 4.2.0 later"), "never@x.test": Act(reply="550 5.1.1 unknown")}
    async with session_with(Script(extensions=extensions, recipients=rules)) as (mta, session):
        opened = await session.begin(envelope("now@x.test", "later@x.test", "never@x.test"))
        assert opened.is_open
        assert opened.refusal(0) is None
        assert [opened.recipients[index].code for index in range(3)] == [250, 450, 550]
        assert (await session.content(CONTENT)).ok
    assert [entry.recipient for entry in mta.ledger] == ["now@x.test"]


async def test_a_server_that_waits_for_content_for_nobody_gets_a_lone_dot() -> None:
    script = Script(recipients={"never@x.test": Act(reply="550 no")}, steps={"data": (Act(reply="354 go on"),)})
    async with session_with(script) as (mta, session):
        opened = await session.begin(envelope("never@x.test"))
        assert not opened.is_open
        assert opened.refusal(0) is not None
        await send(session)
    assert [entry.raw for entry in mta.ledger] == [CONTENT]


async def test_recipients_taken_after_a_refused_sender_end_the_connection() -> None:
    """A lone dot would send them an empty mail."""
    steps: dict[str, Acts] = {
        "mail": (Act(reply="550 no"),),
        "early": Act(reply="250 yes"),
        "data": Act(reply="354 go on"),
    }
    async with session_with(Script(steps=steps)) as (mta, session):
        with pytest.raises(SmtpError, match="broke the protocol") as caught:
            await session.begin(envelope())
        assert caught.value.phase is Phase.DATA
    assert mta.ledger == []


async def test_a_following_envelope_is_refused_on_its_own() -> None:
    script = Script(recipients={"never@x.test": Act(reply="550 5.1.1 unknown")})
    async with session_with(script) as (mta, session):
        await session.begin(envelope("1@x.test"))
        assert (await session.content(CONTENT, envelope("never@x.test"))).ok
        assert not (await session.begun()).is_open
        await send(session, "2@x.test")
    assert [entry.recipient for entry in mta.ledger] == ["1@x.test", "2@x.test"]


@both_ways
@pytest.mark.parametrize("reply", ["451 4.3.0 later", "552 5.2.2 full", "554 5.6.0 spam"])
async def test_a_refused_content_leaves_the_connection_good(extensions: tuple[str, ...], reply: str) -> None:
    async with session_with(Script(extensions=extensions, steps={"dot": (Act(reply=reply),)})) as (mta, session):
        await session.begin(envelope())
        answer = await session.content(CONTENT, envelope("next@x.test"))
        assert (answer.ok, str(answer)) == (False, reply)
        assert (await session.begun()).is_open
        assert (await session.content(CONTENT)).ok
    assert [entry.recipient for entry in mta.ledger] == ["next@x.test"]


# What this server cannot take is not sent to it.


async def test_a_message_over_the_servers_limit_is_refused_with_both_sizes() -> None:
    async with session_with(Script(extensions=("PIPELINING", "SIZE 1000"))) as (mta, session):
        opened = await session.begin(envelope(size=1001))
        assert (opened.mail.code, opened.mail.enhanced, opened.mail.local) == (552, "5.3.4", True)
        assert "1001" in opened.mail.text
        assert "1000" in opened.mail.text
        await send(session)
        assert "MAIL FROM:<from@x.test> SIZE=1001" not in mta.commands


@pytest.mark.parametrize("words", ["SIZE", "SIZE 0", "SIZE many"])
async def test_a_size_without_a_number_is_no_limit(words: str) -> None:
    async with session_with(Script(extensions=("PIPELINING", words))) as (mta, session):
        assert (await session.begin(envelope(size=10**9))).is_open
        assert f"MAIL FROM:<from@x.test> SIZE={10**9}" in mta.commands


@pytest.mark.parametrize("wanted", [envelope("jürgen@x.test"), envelope(smtputf8=True)])
async def test_smtputf8_is_used_where_offered_and_refused_where_not(wanted: Envelope) -> None:
    async with session_with(Script()) as (mta, session):
        assert (await session.begin(wanted)).is_open
        assert mta.commands[1].endswith(" SMTPUTF8")
        assert mta.commands[2] == f"RCPT TO:<{wanted.recipients[0]}>"
    async with session_with(Script(extensions=("PIPELINING",))) as (mta, session):
        opened = await session.begin(wanted)
        assert (opened.mail.code, opened.mail.local) == (553, True)
        await send(session)


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",)])
async def test_an_internationalised_recipient_does_not_cost_the_others_their_mail(extensions: tuple[str, ...]) -> None:
    wanted = Envelope("a@x.test", ("b@x.test", "jürgen@x.test", "c@x.test"), 10)
    async with FakeMta(Script(extensions=extensions, recipients={"c@x.test": Act(reply="550 5.1.1 no")})) as mta:
        session = await open_session(mta.account())
        for reply in (await session.probe(wanted), await session.begin(wanted)):
            assert reply.refusal(0) is None
            phase, refusal = reply.refusal(1) or (None, None)
            assert phase == "rcpt"
            assert refusal is not None
            assert (refusal.code, refusal.local) == (553, True)
            assert reply.refusal(2) is not None
        assert (await session.content(b"Subject: Hi\r\n\r\nHi\r\n")).ok
        assert [one.recipient for one in mta.ledger] == ["b@x.test"]
        assert not any("SMTPUTF8" in line for line in mta.commands)
        await session.quit()


async def test_an_eight_bit_body_needs_8bitmime() -> None:
    async with session_with(Script()) as (mta, session):
        assert (await session.begin(envelope(eight_bit=True))).is_open
        assert " BODY=8BITMIME" in mta.commands[1]
    async with session_with(Script(extensions=())) as (_, session):
        assert (await session.begin(envelope(eight_bit=True))).mail.local


async def test_a_local_refusal_of_the_following_does_not_touch_this_mail() -> None:
    async with session_with(Script(extensions=("PIPELINING", "SIZE 1000"))) as (mta, session):
        await session.begin(envelope())
        assert (await session.content(CONTENT, envelope(size=5000))).ok
        assert (await session.begun()).mail.local
        await send(session)
    assert mta.messages == 2


@pytest.mark.parametrize(
    "address",
    [
        "a@x.test>\r\nRCPT TO:<b@x.test",
        "a\nb@x.test",
        "a b@x.test",
        "<a@x.test>",
        "a\0@x.test",
        "a@x.test> SIZE=1",
        "a\u2028b@x.test",
        "a\udcff@x.test",
        "",
    ],
)
def test_an_address_that_is_more_than_an_address_is_refused(address: str) -> None:
    with pytest.raises(AddressError):
        envelope(address)
    if address:
        with pytest.raises(AddressError):
            Envelope(address, ("to@x.test",), 1)


async def test_the_null_sender() -> None:
    async with session_with(Script()) as (mta, session):
        await session.begin(Envelope("", ("to@x.test",), 1))
        assert mta.commands[1] == "MAIL FROM:<> SIZE=1"


# The connection ends at each phase.


@both_ways
@pytest.mark.parametrize("step", ["mail", "rcpt", "data"])
@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (Act(drop=True), "lost"),
        (Act(reset=True), "lost"),
        (Act(silent=True), "no complete reply within 0.6 s"),
        (Act(raw=b"what?\r\n"), "broke the protocol"),
        (Act(raw=b"999 what?\r\n"), "broke the protocol"),
        (Act(raw=b"250 a\0b\r\n"), "broke the protocol"),
        (Act(raw=b"250 5.7.1 rejected\r\n"), "broke the protocol"),
        (Act(raw=b"250-one\r\n550 two\r\n"), "broke the protocol"),
        (Act(raw=b"250 " + b"x" * 1_000_000 + b"\r\n"), "broke the protocol"),
        (Act(raw=b"250-more\r\n" * 10_000), "broke the protocol"),
        (Act(raw=b"250-more\r\n", drip_s=0.1), "no complete reply within 0.6 s"),
        (Act(reply="334 go"), "broke the protocol"),
        (Act(raw=b"250 a\rb\r\n"), "broke the protocol"),
        (Act(raw=b"what?\r\n250 2.1.0 ok\r\n354 go on\r\n"), "broke the protocol"),
        (Act(raw=b"250 5.7.1 rejected\r\n250 5.7.1 rejected\r\n"), "broke the protocol"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, Act) else None,
)
async def test_an_envelope_that_gets_no_answer_is_told_by_phase(
    extensions: tuple[str, ...], step: str, act: Act, reason: str
) -> None:
    async with session_with(Script(extensions=extensions, steps={step: act}), timeouts=HASTY) as (mta, session):
        with pytest.raises(SmtpError, match=reason) as caught:
            await session.begin(envelope())
        error = caught.value
        assert error.reply_code is None
        # A reset may overtake the answers before it.
        assert error.phase is Phase(step) or act.reset
        assert classify(error.phase, error.reply_code) is Outcome.SERVER
        assert not session.is_usable
        assert len(str(error)) < 1000
    assert mta.ledger == []


@both_ways
@pytest.mark.parametrize(
    "act",
    [
        Act(drop=True),
        Act(reset=True),
        Act(silent=True),
        Act(raw=b"what?\r\n"),
        Act(raw=b"250 5.7.1 rejected\r\n"),
        Act(raw=b"250 " + b"x" * 1_000_000 + b"\r\n"),
        Act(raw=b"999 what?\r\n"),
        Act(reply="354 go on"),
    ],
    ids=lambda act: repr(act)[:40],
)
async def test_after_the_dot_no_valid_answer_is_unknown(extensions: tuple[str, ...], act: Act) -> None:
    async with session_with(Script(extensions=extensions, steps={"dot": act}), timeouts=HASTY) as (mta, session):
        await session.begin(envelope())
        with pytest.raises(SmtpError) as caught:
            await session.content(CONTENT, envelope("next@x.test"))
        assert (caught.value.phase, caught.value.reply_code) == (Phase.CONTENT, None)
        assert classify(caught.value.phase, None) is Outcome.UNKNOWN
        assert session.phase is Phase.CONTENT
    assert len(mta.ledger) == 1


@both_ways
@pytest.mark.parametrize("step", ["mail", "rcpt", "data", "dot"])
async def test_421_ends_the_connection_and_blames_the_server(extensions: tuple[str, ...], step: str) -> None:
    act = Act(reply="421 4.3.2 shutting down", drop=True)
    async with session_with(Script(extensions=extensions, steps={step: act})) as (mta, session):
        with pytest.raises(SmtpError, match="shutting down") as caught:
            await send(session)
        error = caught.value
        assert (error.reply_code, error.enhanced) == (421, "4.3.2")
        assert error.phase is (Phase.CONTENT if step == "dot" else Phase(step))
        assert classify(error.phase, error.reply_code, error.enhanced) in (Outcome.SERVER, Outcome.TEMPORARY)
    assert mta.ledger == []


@both_ways
async def test_the_connections_quota_shows_before_any_content(extensions: tuple[str, ...]) -> None:
    async with session_with(Script(extensions=extensions, messages_per_connection=2)) as (mta, session):
        await session.begin(envelope("1@x.test"))
        await session.content(CONTENT, envelope("2@x.test"))
        await session.begun()
        assert (await session.content(CONTENT, envelope("3@x.test"))).ok
        with pytest.raises(SmtpError) as caught:
            await session.begun()
        assert (caught.value.phase, caught.value.reply_code) == (Phase.MAIL, 421)
    assert [entry.recipient for entry in mta.ledger] == ["1@x.test", "2@x.test"]


async def test_a_server_that_closed_meanwhile_costs_the_next_mail_nothing() -> None:
    act = Act(reply="250 taken", drop=True)
    async with session_with(Script(steps={"dot": act})) as (_, session):
        await send(session)
        await asyncio.sleep(0.01)
        assert not session.is_usable
        with pytest.raises(SmtpError) as caught:
            await session.begin(envelope())
        assert (caught.value.phase, caught.value.reply_code) == (Phase.MAIL, None)


@both_ways
async def test_a_loss_after_the_answer_is_not_the_following_mails_doubt(extensions: tuple[str, ...]) -> None:
    act = Act(reply="250 2.0.0 taken", drop=True)
    async with session_with(Script(extensions=extensions, steps={"dot": act})) as (_, session):
        await session.begin(envelope())
        assert (await session.content(CONTENT, envelope())).ok
        await asyncio.sleep(0.01)
        with pytest.raises(SmtpError) as caught:
            await session.begun()
        assert caught.value.phase is Phase.MAIL


@pytest.mark.parametrize("said", [b"250 what\r\n", b"421 4.4.2 idle for too long\r\n"])
async def test_words_out_of_turn_are_never_taken_for_an_answer(said: bytes) -> None:
    script = Script(steps={"dot": Act(raw=b"250 2.0.0 taken\r\n" + said)})
    async with session_with(script) as (mta, session):
        await send(session)
        assert not session.is_usable
        with pytest.raises(SmtpError) as caught:
            await session.begin(envelope())
        assert caught.value.reply_code == (421 if said.startswith(b"421") else None)
    assert len(mta.ledger) == 1


async def test_250_then_reset_is_accepted() -> None:
    async with session_with(Script(steps={"dot": Act(reply="250 2.0.0 taken", reset=True)})) as (mta, session):
        await send(session)
    assert len(mta.ledger) == 1


@pytest.mark.parametrize("act", [Act(drop=True), Act(reset=True), Act(silent=True), Act(reply="500 no")])
async def test_quit_never_raises(act: Act) -> None:
    async with session_with(Script(steps={"quit": act}), timeouts=HASTY) as (_, session):
        await send(session)
        await session.quit()
        await session.quit()
        assert not session.is_usable


# While the content is written.

BIG = b"Subject: big\r\n\r\n" + b"0123456789abcdef" * 4 * 20_000 + b"\r\n"


async def test_a_refusal_in_the_middle_of_the_content_is_the_answer() -> None:
    block = Act(reply="550 5.7.1 seen enough", drop=True)
    async with session_with(Script(steps={"block": block}, read_bytes_per_s=20)) as (mta, session):
        await session.begin(envelope(size=len(BIG) * 20))
        with pytest.raises(SmtpError) as caught:
            await session.content(BIG * 20)
        assert caught.value.phase is Phase.DATA
        assert caught.value.reply_code in (550, None)
    assert mta.ledger == []


async def test_a_slow_reader_is_given_up_before_the_dot() -> None:
    async with session_with(Script(read_bytes_per_s=1), timeouts=HASTY) as (mta, session):
        await session.begin(envelope(size=len(BIG) * 20))
        with pytest.raises(SmtpError, match="less than a block") as caught:
            await session.content(BIG * 20)
        assert (caught.value.phase, caught.value.reply_code) == (Phase.DATA, None)
    assert mta.ledger == []


@both_ways
async def test_big_content_arrives_whole(extensions: tuple[str, ...]) -> None:
    content = b"\r\n".join(b".%d" % number for number in range(100_000)) + b"\r\n"
    async with session_with(Script(extensions=extensions)) as (mta, session):
        await session.begin(envelope(size=len(content)))
        assert (await session.content(content, envelope("next@x.test"))).ok
        assert (await session.begun()).is_open
        assert (await session.content(CONTENT)).ok
    assert [entry.raw for entry in mta.ledger] == [content, CONTENT]


# Giving up.


@both_ways
async def test_an_abandoned_mail_is_never_sent_even_in_part(extensions: tuple[str, ...]) -> None:
    async with session_with(Script(extensions=extensions)) as (mta, session):
        assert (await session.begin(envelope())).is_open
        session.abandon()
        assert not session.is_usable
    assert mta.ledger == []


async def test_abandoning_after_a_refusal_keeps_the_connection() -> None:
    async with session_with(Script(recipients={"never@x.test": Act(reply="550 no")})) as (_, session):
        await session.begin(envelope("never@x.test"))
        session.abandon()
        assert session.is_usable


@pytest.mark.parametrize(("step", "phase"), [("data", Phase.DATA), ("dot", Phase.CONTENT)])
async def test_a_cancelled_step_closes_the_connection_and_leaves_its_phase(step: str, phase: Phase) -> None:
    async with session_with(Script(steps={step: Act(silent=True)})) as (_, session):
        task = asyncio.create_task(send(session))
        await asyncio.sleep(0.03)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert session.phase is phase
        assert not session.is_usable


async def test_steps_out_of_order_are_an_error() -> None:
    async with session_with(Script()) as (_, session):
        with pytest.raises(RuntimeError):
            await session.content(CONTENT)
        with pytest.raises(RuntimeError):
            await session.begun()
        await session.begin(envelope())
        with pytest.raises(RuntimeError):
            await session.begin(envelope())


async def test_a_probe_sends_nothing_and_can_be_followed_by_a_mail() -> None:
    async with session_with(Script(recipients={"never@x.test": Act(reply="550 5.1.1 unknown")})) as (mta, session):
        told = await session.probe(envelope("to@x.test", "never@x.test"))
        assert [reply.code for reply in told.recipients] == [250, 550]
        assert not any(command.startswith("DATA") for command in mta.commands)
        await send(session)


# What arrives is what was sent.

_BODIES = st.lists(
    st.sampled_from(
        [b"\r\n", b"\n", b"\r", b".", b"..", b"\r\n.", b"\n.\n", b"\r.\r", b".\r\n", b"\0", b"a", b"\xff", b"MAIL"]
    )
).map(b"".join)


def _with_crlf(body: bytes) -> bytes:
    body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return body if body.endswith(b"\r\n") or not body else body + b"\r\n"


@settings(max_examples=40, deadline=None)
@given(bodies=st.lists(_BODIES, min_size=1, max_size=8), is_scripted=st.booleans())
async def test_no_body_can_end_its_mail_or_begin_another(bodies: list[bytes], is_scripted: bool) -> None:
    async with session_with(Script() if is_scripted else None) as (mta, session):
        await session.begin(envelope())
        for body in bodies:
            assert (await session.content(body, envelope())).ok
            await session.begun()
        session.abandon()
    assert [entry.raw for entry in mta.ledger] == [_with_crlf(body) for body in bodies]


@settings(max_examples=20, deadline=None)
@given(piece_bytes=st.integers(1, 40), step=st.sampled_from(["mail", "rcpt", "data", "dot"]))
async def test_replies_may_be_cut_anywhere(piece_bytes: int, step: str) -> None:
    usual = {"mail": "250 a\nb\nc", "rcpt": "250 2.1.5 ok", "data": "354 go\non", "dot": "250 2.0.0 queued\nas 1234"}
    act = Act(reply=usual[step], piece_bytes=piece_bytes, drip_s=0.0001)
    async with session_with(Script(steps={step: act})) as (mta, session):
        await send(session)
        await send(session)
    assert mta.messages == 2
