"""Strangers who aim a mail: SECURITY I1 to I4, I7, I8, I10 and I19. Each test names the row it stands for."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core import clock
from core.errors import UserError
from core.gateway import spool
from core.gateway.lookup import open_lookup
from core.gateway.receive import process
from core.gateway.values import Account, Outcome
from core.mail.automatic import automatic_reason
from core.mail.parse import parse
from core.runtime import Runtime, get_model
from tests.gateway.conftest import TOKEN, change_settings, mail

pytestmark = pytest.mark.anyio

DESK = Path(__file__).resolve().parents[1] / "gateway" / "addons"
OURS = "<original-1@our.test>"


@pytest.fixture
def settings() -> dict[str, object]:
    return {"ADDONS": ["core", "desk"], "ADDONS_PATH": [str(DESK)], "MAIL_DOMAIN": "our.test", "NAME_SERVER": "off"}


@pytest.fixture
async def ticket(host: Runtime) -> Any:
    """A ticket that leads@ makes, with a mail sent about it."""
    await get_model("EmailRoute").create(address="leads", target_model="Ticket")
    ticket = await get_model("Ticket").create(name="Invoice 7", state="open")
    await get_model("Message").create(
        res_model="Ticket", res_id=ticket.id, direction="Outbound", message_id=OURS, tracking_identifier=TOKEN
    )
    return ticket


async def receive(*raws: bytes) -> list[Account]:
    ids = [await spool.store(raw, f"test:{await get_model('InboundEmail').all().count()}") for raw in raws]
    return await process([spool_id for spool_id in ids if spool_id])


# I1: the reply token.


async def test_i1_ten_thousand_guesses_open_nothing(ticket: Any) -> None:
    guess = random.Random(1)
    addresses = [f"catchall+{guess.getrandbits(128):032x}@our.test" for _ in range(10_000)]
    raws = [mail(str(at), to=", ".join(addresses[at : at + 500])) for at in range(0, 10_000, 500)]
    accounts = await receive(*raws)
    assert {account.outcome for account in accounts} == {Outcome.UNMATCHED}
    assert await get_model("Message").filter(res_id=ticket.id).count() == 1


def _cut(token: str) -> str:
    return token[:-1]


@pytest.mark.parametrize(
    "spoilt",
    [
        _cut,
        lambda token: token + "0",
        lambda token: token[::-1],
        lambda token: "x" + token,
        lambda token: token[:16] + "%" * 16,
        lambda token: token.replace("0", "\u0660"),
        lambda token: token.replace("1", "\uff11"),
        lambda token: f"{token}' OR '1'='1",
        lambda token: "*" * 32,
        lambda token: "_" * 32,
    ],
)
async def test_i1_a_spoilt_token_is_none_and_all_answers_are_alike(ticket: Any, spoilt: Callable[[str], str]) -> None:
    wrong, never_given = await receive(
        mail("1", to=f'"catchall+{spoilt(TOKEN)}"@our.test'), mail("1", to=f"catchall+{'e' * 32}@our.test")
    )
    assert wrong.outcome is never_given.outcome is Outcome.UNMATCHED
    assert (wrong.record, wrong.answer, wrong.error) == (never_given.record, never_given.answer, never_given.error)


async def test_i1_a_token_opens_its_own_thread_alone(ticket: Any) -> None:
    other = await get_model("Ticket").create(name="Other")
    await get_model("Message").create(
        res_model="Ticket", res_id=other.id, direction="Outbound", message_id="<2@our.test>"
    )
    (account,) = await receive(mail("Re", to=f"catchall+{TOKEN}@our.test", In_Reply_To="<2@our.test>"))
    assert account.record == f"Ticket:{ticket.id}"


# I2, I3: a Message-ID is known to everybody who got the mail.


async def test_i2_a_stranger_who_knows_a_message_id_speaks_as_nobody_of_ours(ticket: Any) -> None:
    employee = await get_model("Contact").create(name="Grace", email="grace@our.test")
    user = await get_model("User").create(login="grace@our.test", name="Grace", contact=employee)
    stranger, forged = await receive(
        mail("Re: 1", to="x@our.test", In_Reply_To=OURS, sender="eve@evil.test"),
        mail("Re: 2", to="x@our.test", In_Reply_To=OURS, sender='"Grace" <grace@our.test>'),
    )
    for account in (stranger, forged):
        entry = await get_model("Message").get(id=account.message)
        assert (entry.direction, entry.kind, entry.author_id) == ("Inbound", "message", None)
        assert entry.author_id != user.id
    await ticket.refresh_from_db()
    assert ticket.state == "open"
    assert await get_model("Follower").all().count() == 0
    assert await get_model("Delivery").all().count() == 0


async def test_i3_nobody_becomes_a_reader_by_a_copy(ticket: Any) -> None:
    await receive(
        mail("Verify your address", to=f"catchall+{TOKEN}@our.test", Cc="eve@evil.test", sender="no-reply@saas.test")
    )
    assert await get_model("Follower").all().count() == 0
    assert "eve@evil.test" not in await ticket.message_recipients()


async def test_i2_what_answers_a_note_is_a_note_whoever_writes(ticket: Any) -> None:
    note = await ticket.post_note("<p>Between us</p>")
    await get_model("Message").filter(id=note.id).update(message_id="<note@our.test>")
    carla = await get_model("Contact").create(name="Carla", email="carla@customer.test")
    await ticket.follow(carla)
    (first,) = await receive(mail("Re", to="x@x.test", In_Reply_To="<note@our.test>", message_id="<a@x.test>"))
    (second,) = await receive(mail("Re", to="x@x.test", In_Reply_To="<a@x.test>", sender="bob@x.test"))
    kinds = await get_model("Message").filter(id__in=[first.message, second.message]).values_list("kind", flat=True)
    assert kinds == ["note", "note"]
    assert await get_model("Delivery").all().count() == 0


# I4.


async def test_i4_who_takes_a_message_id_first_takes_nobodys_mail(ticket: Any) -> None:
    wanted = "<wanted@customer.test>"
    squat, real, answer = await receive(
        mail("Squat", message_id=wanted, sender="evil@spam.test"),
        mail("Real", message_id=wanted),
        mail("Squat ours", message_id=OURS, sender="evil@spam.test"),
    )
    assert {one.outcome for one in (squat, real, answer)} == {Outcome.RECORD}
    (reply,) = await receive(mail("Re", to="x@x.test", In_Reply_To=OURS))
    assert reply.record == f"Ticket:{ticket.id}"


# I7, I8: no flood by way of us, no circle.


async def test_i7_ten_thousand_forged_mails_answer_nobody(ticket: Any, host: Runtime) -> None:
    change_settings(host, REFUSE_POLITELY=True)
    raws = [mail(str(number), to="nobody@our.test", sender=f"victim{number}@elsewhere.test") for number in range(300)]
    await receive(*raws)
    assert await get_model("Message").filter(direction="Outbound", send_state__isnull=False).count() == 0
    assert await get_model("AutomaticAnswer").all().count() == 0


async def test_i8_two_of_us_that_answer_each_other_come_to_an_end(ticket: Any, host: Runtime) -> None:
    change_settings(host, LOOP_MAILS_PER_HOUR=5)
    now = format_datetime(clock.now())
    machine = [mail(f"We got your mail {number}", sender="robot@other.test", Date=now) for number in range(40)]
    accounts = await receive(*machine)
    assert [account.outcome for account in accounts].count(Outcome.RECORD) == 5
    held = await get_model("InboundEmail").filter(outcome="loop")
    assert len(held) == 35
    assert {row.state for row in held} == {"unmatched"}


async def test_i8_what_we_answer_by_program_says_so(ticket: Any, host: Runtime) -> None:
    change_settings(host, REFUSE_POLITELY=True, TRUSTED_AUTHSERV_ID="mx.our.test", SMTP_FROM_EMAIL="desk@our.test")
    await get_model("Company").create(name="Ours")
    model = await get_model("ModelRegistry").get(identifier="Company")
    await get_model("EmailTemplate").create(
        identifier="inbound_refusal", name="Refuse", model=model, subject="No", content="<p>No.</p>"
    )
    proof = b"Authentication-Results: mx.our.test; dmarc=pass header.from=customer.test\r\n"
    await receive(proof + mail("Hello", to="nobody@our.test"))
    answer = await get_model("Message").get(direction="Outbound", res_model__isnull=True)
    raw = await answer.eml()
    assert automatic_reason(parse(raw)) is not None
    # And it comes back: to the very instance that sent it, and to another one.
    returned = raw.replace(b"To: ada@customer.test", b"To: leads@our.test")
    (account,) = await receive(returned)
    assert account.outcome in (Outcome.LOOP, Outcome.AUTOMATIC)
    assert account.answer is None


# I10: the address that was meant, and no other.

_ODD = [
    '"leads@our.test"@evil.test',
    '"leads@our.test" <x@evil.test>',
    "leads@our.test.evil.test",
    "leads@our.test@evil.test",
    "leads%our.test@evil.test",
    "evil.test!leads@our.test.evil.test",
    "=?utf-8?q?leads=40our.test?= <x@evil.test>",
    "=?utf-8?q?leads=40our=2Etest?=@evil.test",
    "(leads@our.test) x@evil.test",
    "leads@our.test\u3002evil.test",
    "leads\u200b@our.test",
    "le\u0430ds@our.test",
    "leads@our\u2024test",
    "leads@our.test.",
    "leads @our.test",
    "leads@our.test> <x@evil.test",
]


@pytest.mark.parametrize("to", _ODD)
async def test_i10_what_is_not_the_alias_is_not_routed_to_it(ticket: Any, to: str) -> None:
    (account,) = await receive(mail("Odd", to=to))
    assert account.outcome is Outcome.UNMATCHED
    assert await get_model("Ticket").all().count() == 1


@pytest.mark.parametrize(
    "to", ["LEADS@OUR.TEST", "Leads+x@our.test", "<leads@our.test>", "x: leads@our.test;", '"leads"@our.test']
)
async def test_i10_what_is_the_alias_is_routed(ticket: Any, to: str) -> None:
    (account,) = await receive(mail("Fine", to=to))
    # Quotes that an address does not need change nothing of it (RFC 5321 section 4.1.2).
    assert account.outcome is Outcome.RECORD


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=120))
async def test_i10_any_recipient_leads_to_the_alias_that_it_names_or_nowhere(ticket: Any, to: str) -> None:
    lookup = await open_lookup()
    route = lookup.route_of(to)
    assert route is None or to.strip().lower().rpartition("@")[0].partition("+")[0] == "leads"


# I19: what a mail or a route may set.


@pytest.mark.parametrize(
    "field", ["company", "company_id", "state", "is_admin", "active", "id", "secret", "created_at", "nope"]
)
async def test_i19_a_route_sets_only_what_mail_may_set(ticket: Any, field: str) -> None:
    with pytest.raises(UserError, match=field):
        await get_model("EmailRoute").create(address="bad", target_model="Ticket", defaults={field: 1})
    route = await get_model("EmailRoute").get(address="leads")
    await get_model("EmailRoute").filter(id=route.id).update(defaults={field: 1})
    (account,) = await receive(mail("Past the check"))
    assert account.outcome is Outcome.UNROUTED


async def test_i19_a_mail_fills_in_only_what_it_says_of_itself(ticket: Any) -> None:
    since = clock.now() - timedelta(minutes=1)
    await receive(mail("x", State="done", Company="1", Is_Admin="true", X_Priority="1"))
    (made,) = await get_model("Ticket").filter(created_at__gt=since).exclude(id=ticket.id)
    assert (made.state, made.company_id, made.secret, made.priority) == ("new", None, "", 0)
