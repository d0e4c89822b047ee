"""From spool to timeline: each kind of mail becomes what it should, once, or is kept with a reason."""

from __future__ import annotations

from typing import Any

import pytest

from core.gateway import spool
from core.gateway.receive import process
from core.gateway.rules.loop import loop_tags
from core.gateway.values import Account, Outcome
from core.runtime import get_model
from tests.gateway.conftest import ORIGINAL, TOKEN, mail, sample

pytestmark = pytest.mark.anyio


async def receive(*raws: bytes) -> list[Account]:
    ids = [await spool.store(raw, f"test:{await get_model('InboundEmail').all().count()}") for raw in raws]
    return await process([spool_id for spool_id in ids if spool_id])


async def test_a_mail_to_an_alias_becomes_a_record_with_its_timeline(
    routes: dict[str, Any], told: list[tuple[str, Any]]
) -> None:
    (account,) = await receive(sample("plain"))
    ticket = await get_model("Ticket").get().prefetch_related("contact")
    assert account.outcome is Outcome.RECORD
    assert account.record == f"Ticket:{ticket.id}"
    assert account.author == "ada@customer.test"
    assert [step.rule for step in account.trace if step.hit] == ["alias"]
    assert (ticket.name, ticket.priority, ticket.email) == ("We would like an offer", 3, "Ada@Customer.test")
    assert ticket.email_from == "Ada Byron <Ada@Customer.test>"
    assert "12 lamps" in ticket.description
    assert (ticket.contact.name, ticket.contact.email) == ("Ada Byron", "ada@customer.test")
    (entry,) = await ticket.timeline()
    assert (entry.id, entry.direction, entry.kind) == (account.message, "Inbound", "message")
    assert entry.author is None
    assert entry.author_contact_id == ticket.contact_id
    assert entry.message_id == "<plain-1@customer.test>"
    assert str(entry.date_at) == "2025-06-02 09:00:00+00:00"
    assert entry.text.startswith("Good morning")
    assert "12 lamps" in entry.body
    row = await get_model("InboundEmail").get()
    assert (row.state, row.outcome, row.res_model, row.res_id) == ("processed", "record", "Ticket", ticket.id)
    assert row.message_id == entry.id
    assert (row.message_id_header, row.sender) == ("<plain-1@customer.test>", "ada@customer.test")
    assert [step["rule"] for step in row.trace] == [step.rule for step in account.trace]
    assert ("routed", (account.source, "We would like an offer", entry.id)) in told
    assert ("posted", entry.id) in told


async def test_a_picture_inside_the_html_becomes_a_file_and_a_date_without_zone_is_utc(routes: dict[str, Any]) -> None:
    (account,) = await receive(sample("html_with_data_image"))
    entry = await get_model("Message").get(id=account.message).prefetch_related("attachments")
    (image,) = entry.attachments
    assert entry.subject == "Grüße mit Bild"
    assert "data:" not in entry.body
    assert entry.body.count(f"cid:{image.content_id}") == 2
    assert (image.content_type, image.size_bytes) == ("image/gif", 34)
    assert str(entry.date_at) == "2025-06-02 11:00:00+00:00"
    assert entry.email_from == '"Byron, Ada" <ada@customer.test>'


async def test_html_that_is_long_only_by_its_pictures_stays_the_body(routes: dict[str, Any]) -> None:
    picture = "iVBORw0KGgo" + "A" * 3_000_000
    body = f'<p>Before <img src="data:image/png;base64,{picture}"> after</p>'
    (account,) = await receive(mail("Big picture", body=body, Content_Type="text/html"))
    entry = await get_model("Message").get(id=account.message).prefetch_related("attachments")
    assert len(entry.body) < 200
    assert entry.attachments[0].size_bytes > 2_000_000


async def test_files_are_kept_and_their_type_is_what_their_bytes_are(routes: dict[str, Any]) -> None:
    (account,) = await receive(sample("files"))
    assert account.trace[-1].rule == "alias"
    assert await get_model("Ticket").all().count() == 2  # support@ in To and leads@ in Cc.
    entry = await get_model("Message").get(id=account.message).prefetch_related("attachments")
    files = {file.name: file for file in entry.attachments}
    assert files["plan.gif"].content_id == "plan@customer.test"
    assert files["order.pdf"].content_id is None
    assert files["order.pdf"].content_type == "application/pdf"
    assert files["evil.png"].content_type == "application/octet-stream"
    assert bytes(files["order.pdf"].content).startswith(b"%PDF")


async def test_a_file_that_comes_again_in_a_thread_is_stored_once(invoice: Any) -> None:
    raw = sample("files").replace(b"To: Support <support@our.test>", f"To: catchall+{TOKEN}@our.test".encode())
    first, second = await receive(raw, raw.replace(b"files-1", b"files-2"))
    assert first.record == second.record == f"Ticket:{invoice.id}"
    assert await get_model("Attachment").all().count() == 3
    entry = await get_model("Message").get(id=second.message).prefetch_related("attachments")
    assert len(entry.attachments) == 3


@pytest.mark.parametrize("name", ["reply_by_token", "reply_by_reference"])
async def test_a_reply_lands_on_the_timeline_of_what_it_answers(
    invoice: Any, name: str, told: list[tuple[str, Any]]
) -> None:
    (account,) = await receive(sample(name))
    assert (account.outcome, account.record) == (Outcome.REPLY, f"Ticket:{invoice.id}")
    assert account.trace[-1].rule == name.replace("by_", "")
    newest, _ = await invoice.timeline()
    assert newest.id == account.message
    assert newest.parent_id == invoice.sent_message.id
    assert newest.author is None
    assert ("routed", (account.source, "Invoice 7", newest.id)) in told


async def test_a_token_counts_in_any_case_and_a_wrong_or_cut_one_not_at_all(invoice: Any) -> None:
    good, wrong, cut = await receive(
        mail("1", to=f"CatchAll+{TOKEN.upper()}@OUR.test"),
        mail("2", to=f"catchall+{'f' * 32}@our.test"),
        mail("3", to=f"catchall+{TOKEN[:20]}@our.test"),
    )
    assert good.outcome is Outcome.REPLY
    assert wrong.outcome is cut.outcome is Outcome.UNMATCHED


async def test_an_answer_to_an_internal_note_stays_internal(invoice: Any) -> None:
    note = await invoice.post_note("<p>Between us</p>")
    await get_model("Message").filter(id=note.id).update(message_id="<note@our.test>")
    (account,) = await receive(mail("Re: note", to="x@our.test", In_Reply_To="<note@our.test>"))
    assert (await get_model("Message").get(id=account.message)).kind == "note"


async def test_a_reply_sent_to_an_alias_of_another_model_is_a_forward(routes: dict[str, Any], invoice: Any) -> None:
    forwarded, joined = await receive(
        mail("Fwd: invoice", to="orders@our.test", References=ORIGINAL),
        mail("Re: invoice", to="leads@our.test", References=ORIGINAL),
    )
    assert (forwarded.outcome, (forwarded.record or "").partition(":")[0]) == (Outcome.RECORD, "Order")
    assert (joined.outcome, joined.record) == (Outcome.REPLY, f"Ticket:{invoice.id}")


async def test_mails_of_one_batch_answer_each_other(routes: dict[str, Any]) -> None:
    first, second = await receive(
        mail("New", message_id="<a@customer.test>"),
        mail("Re: New", to="bob@customer.test", message_id="<b@customer.test>", In_Reply_To="<a@customer.test>"),
    )
    assert (second.outcome, second.record) == (Outcome.REPLY, first.record)


async def test_a_reply_to_a_record_that_is_gone_is_kept_with_the_reason(invoice: Any) -> None:
    await get_model("Ticket").filter(id=invoice.id).delete()
    (account,) = await receive(sample("reply_by_token"))
    assert account.outcome is Outcome.UNMATCHED
    assert f"Ticket:{invoice.id} is gone" in [step.reason for step in account.trace]


async def test_a_message_id_that_a_stranger_took_first_leads_to_ours_all_the_same(
    routes: dict[str, Any], invoice: Any
) -> None:
    squatter, expected, answer = await receive(
        mail("Squat", message_id="<wanted@customer.test>", sender="evil@spam.test"),
        mail("Wanted", message_id="<wanted@customer.test>"),
        mail("Squat ours", message_id=ORIGINAL, sender="evil@spam.test"),
    )
    assert squatter.outcome is expected.outcome is answer.outcome is Outcome.RECORD
    (reply,) = await receive(sample("reply_by_reference"))
    assert reply.record == f"Ticket:{invoice.id}"


async def test_a_bounce_is_noted_at_its_message(invoice: Any) -> None:
    (account,) = await receive(sample("bounce"))
    assert (account.outcome, account.record) == (Outcome.BOUNCE, f"Ticket:{invoice.id}")
    assert [(one.address, one.status, one.hard) for one in account.bounces] == [("gone@customer.test", "5.1.1", True)]
    message = await get_model("Message").get(id=invoice.sent_message.id)
    assert message.bounced_at is not None
    assert "Gone@customer.test could not be delivered for good (5.1.1)" in message.error
    entry = await get_model("Message").get(id=account.message)
    assert (entry.kind, entry.parent_id) == ("system", message.id)


async def test_a_bounce_of_somebody_we_never_wrote_to_marks_nothing(invoice: Any) -> None:
    forged = sample("bounce").replace(b"rfc822; gone@customer.test", b"rfc822; somebody@else.test")
    (account,) = await receive(forged)
    assert account.outcome is Outcome.BOUNCE
    assert (await get_model("Message").get(id=invoice.sent_message.id)).bounced_at is None


async def test_a_bounce_of_no_mail_of_ours_is_set_aside(routes: dict[str, Any]) -> None:
    (account,) = await receive(sample("bounce").replace(f"bounce+{TOKEN}".encode(), b"leads"))
    row = await get_model("InboundEmail").get()
    assert (account.outcome, row.state) == (Outcome.BOUNCE, "ignored")
    assert await get_model("Ticket").all().count() == 0


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("out_of_office", Outcome.AUTOMATIC),
        ("hops", Outcome.LOOP),
        ("from_our_alias", Outcome.LOOP),
        ("nobody_we_know", Outcome.UNMATCHED),
        ("no_headers_at_all", Outcome.UNMATCHED),
    ],
)
async def test_what_is_no_business_of_a_record_creates_none(
    routes: dict[str, Any], name: str, outcome: Outcome, told: list[tuple[str, Any]]
) -> None:
    (account,) = await receive(sample(name))
    row = await get_model("InboundEmail").get()
    assert account.outcome is outcome
    assert row.state == ("unmatched" if outcome is Outcome.UNMATCHED else "ignored")
    assert (account.automatic is not None) == (outcome is Outcome.AUTOMATIC)
    assert await get_model("Message").all().count() == await get_model("Ticket").all().count() == 0
    assert told == ([("unmatched", account.source)] if outcome is Outcome.UNMATCHED else [])


async def test_our_own_mail_is_known_by_its_tag(routes: dict[str, Any]) -> None:
    ours, others = await receive(
        mail("Ours", X_Postroom_Loop=loop_tags()[0]), mail("Others", X_Postroom_Loop="0123456789abcdef")
    )
    assert (ours.outcome, others.outcome) == (Outcome.LOOP, Outcome.RECORD)


async def test_a_malformed_mail_is_dealt_with_like_any(routes: dict[str, Any]) -> None:
    malformed, next_one = await receive(sample("malformed"), sample("plain"))
    assert malformed.outcome in (Outcome.RECORD, Outcome.UNMATCHED)
    assert next_one.outcome is Outcome.RECORD


async def test_the_same_mail_by_two_ways_is_one_record(routes: dict[str, Any]) -> None:
    raw = sample("plain")
    other_way = b"Received: from elsewhere\r\nX-Scanned: yes\r\n" + raw
    first, second = await receive(raw, other_way)
    (third,) = await receive(b"X-Once-More: yes\r\n" + raw)
    row = await get_model("InboundEmail").get(outcome="record")
    assert (first.outcome, second.outcome, third.outcome) == (Outcome.RECORD, Outcome.DUPLICATE, Outcome.DUPLICATE)
    assert f"number {row.id} of the spool" in third.trace[-1].reason
    assert await get_model("InboundEmail").all().count() == 3
    assert await get_model("Ticket").all().count() == 1


async def test_a_blind_copy_to_a_second_alias_is_a_second_delivery(routes: dict[str, Any]) -> None:
    raw = mail("Blind", to="friend@customer.test", message_id="<blind@customer.test>")
    first, second = await receive(b"Delivered-To: leads@our.test\r\n" + raw, b"Delivered-To: orders@our.test\r\n" + raw)
    assert [(account.record or "").partition(":")[0] for account in (first, second)] == ["Ticket", "Order"]


async def test_an_alias_is_found_whatever_its_case_and_tag_and_only_at_its_domain(routes: dict[str, Any]) -> None:
    await get_model("EmailRoute").create(address="sales", domain="Second.test", target_model="Ticket")
    accounts = await receive(
        mail("1", to="LEADS+summer@Our.Test"),
        mail("2", to="sales@second.test"),
        mail("3", to="sales@our.test"),
        mail("4", to="leads@our.test.evil.test"),
        mail("5", to='"leads@our.test" <thief@spam.test>'),
    )
    assert [account.outcome for account in accounts] == [Outcome.RECORD] * 2 + [Outcome.UNMATCHED] * 3


async def test_a_catch_all_takes_what_no_alias_does_but_not_the_systems_own_addresses(routes: dict[str, Any]) -> None:
    await get_model("EmailRoute").create(address="*", target_model="Order", target_name_field="title")
    accounts = await receive(
        mail("1", to="anything@our.test"), mail("2", to="leads@our.test"), mail("3", to=f"catchall+{'e' * 32}@our.test")
    )
    assert [(account.record or "").partition(":")[0] for account in accounts] == ["Order", "Ticket", ""]


async def test_a_subject_is_cut_to_its_field_and_never_missing(routes: dict[str, Any]) -> None:
    await receive(mail("x" * 200), mail("", message_id="<no-subject@customer.test>"))
    names = await get_model("Ticket").all().order_by("id").values_list("name", flat=True)
    assert names == ["x" * 40, "(no subject)"]


async def test_hooks_can_change_the_values_and_rules_can_decide(routes: dict[str, Any]) -> None:
    urgent, unwanted, poison = await receive(mail("urgent"), mail("unwanted"), mail("poison"))
    assert (await get_model("Ticket").get()).priority == 9
    assert urgent.outcome is Outcome.RECORD
    assert (unwanted.outcome, unwanted.trace[-1].rule) == (Outcome.IGNORED, "desk")
    assert poison.outcome is Outcome.QUARANTINED
    states = await get_model("InboundEmail").all().order_by("id").values_list("state", flat=True)
    assert states == ["processed", "ignored", "quarantined"]


async def test_a_record_that_cannot_be_created_leaves_its_mail_unrouted_and_nothing_else(
    routes: dict[str, Any], told: list[tuple[str, Any]]
) -> None:
    before, refused, after = await receive(mail("before"), mail("refuse me"), mail("after"))
    assert (before.outcome, after.outcome) == (Outcome.RECORD, Outcome.RECORD)
    assert refused.outcome is Outcome.UNROUTED
    assert "tickets of this kind are refused" in (refused.error or "")
    row = await get_model("InboundEmail").get(outcome="unrouted")
    assert (row.state, row.error) == ("unmatched", refused.error)
    assert await get_model("Message").all().count() == await get_model("Ticket").all().count() == 2
    assert [word for word, _ in told].count("routed") == 2


async def test_a_refused_record_that_cannot_be_told_of_stops_no_other_mail(
    routes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Any:
        raise ValueError("nobody to tell")

    monkeypatch.setattr("core.gateway.receive.without_record", broken)
    refused, after = await receive(mail("refuse me"), mail("after"))
    assert (refused.outcome, after.outcome) == (Outcome.FAILED, Outcome.RECORD)
    assert "nobody to tell" in (refused.error or "")


async def test_a_route_whose_model_is_gone_leaves_its_mail_unrouted(routes: dict[str, Any]) -> None:
    await get_model("EmailRoute").filter(address="leads").update(target_model="CrmLead")
    (account,) = await receive(sample("plain"))
    assert account.outcome is Outcome.UNROUTED
    assert 'There is no model "CrmLead"' in (account.error or "")


async def test_sender_policies_refuse_with_a_reason(routes: dict[str, Any]) -> None:
    contact = get_model("Contact")
    known = await contact.create(name="Known", email="Known@Customer.test")
    follower = await contact.create(name="Follower", email="follower@customer.test")
    employee = await contact.create(name="Grace", email="grace@our.test")
    await get_model("User").create(login="grace@our.test", name="Grace", contact=employee)
    ticket = await get_model("Ticket").create(name="Followed")
    await ticket.follow(follower)
    for policy in ("known", "followers", "staff"):
        await get_model("EmailRoute").create(address=f"{policy}-only", target_model="Ticket", sender_policy=policy)

    async def outcome(alias: str, sender: str) -> str:
        (account,) = await receive(mail(f"{alias} {sender}", to=f"{alias}@our.test", sender=sender))
        return account.outcome

    assert await outcome("known-only", "known@customer.test") == Outcome.RECORD
    assert await outcome("known-only", "stranger@customer.test") == Outcome.UNMATCHED
    assert await outcome("known-only", "grace@our.test") == Outcome.UNMATCHED
    assert await outcome("followers-only", "follower@customer.test") == Outcome.RECORD
    assert await outcome("followers-only", "known@customer.test") == Outcome.UNMATCHED
    assert await outcome("staff-only", "grace@our.test") == Outcome.UNMATCHED
    assert await outcome("staff-only", known.email) == Outcome.UNMATCHED
    (forged,) = await receive(sample("forged_from"))
    assert forged.trace[-1].reason.startswith("staff-only@our.test does not take mail whose sender is not verified")


async def test_the_author_is_a_contact_and_never_a_user(routes: dict[str, Any]) -> None:
    employee = await get_model("Contact").create(name="Grace", email="grace@our.test")
    await get_model("User").create(login="grace@our.test", name="Grace", contact=employee)
    (account,) = await receive(mail("From the boss", sender="grace@our.test"))
    entry = await get_model("Message").get(id=account.message)
    assert entry.author_id is None
    assert entry.author_contact_id == employee.id


@pytest.mark.parametrize("header", [b"Precedence: list", b"X-Auto-Response-Suppress: All"])
async def test_a_person_who_writes_through_a_group_is_heard(routes: dict[str, Any], header: bytes) -> None:
    (account,) = await receive(header + b"\r\n" + mail("Through the group"))
    assert account.outcome is Outcome.RECORD
    assert account.automatic


async def test_an_address_too_long_to_be_one_is_no_sender(routes: dict[str, Any]) -> None:
    long = "a" * 300 + "@" + "b" * 60 + ".test"
    (account,) = await receive(mail("Long", sender=long))
    assert (account.outcome, account.author) == (Outcome.RECORD, None)
