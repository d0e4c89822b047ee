"""Each provider's events, in the form in which its documentation shows them, and whatever else may be sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.provider_events import (
    MOST_EVENTS,
    Confirmation,
    EventKind,
    ProviderEvent,
    ProviderFormatError,
    read_provider_events,
)
from tests.budget import within

SES_MAIL = {
    "timestamp": "2026-03-01T10:00:00.000Z",
    "source": "bounce+1-abc@our.test",
    "messageId": "0102018e-ses",
    "destination": ["ada@customer.test", "bob@customer.test"],
    "headers": [{"name": "Message-ID", "value": "<17@our.test>"}],
}
SES_BOUNCE = {
    "bounceType": "Permanent",
    "bounceSubType": "General",
    "bouncedRecipients": [
        {
            "emailAddress": "Ada <ada@customer.test>",
            "action": "failed",
            "status": "5.1.1",
            "diagnosticCode": "smtp; 550 5.1.1 no such user",
        }
    ],
    "timestamp": "2026-03-01T10:00:05.123Z",
    "feedbackId": "feedback-1",
}


def read(payload: Any) -> tuple[ProviderEvent, ...]:
    return read_provider_events(json.dumps(payload).encode()).events


def one(payload: Any) -> ProviderEvent:
    (event,) = read(payload)
    return event


@pytest.mark.parametrize("word", ["notificationType", "eventType"])
@pytest.mark.parametrize("enveloped", [False, True])
def test_ses_tells_of_a_bounce(word: str, enveloped: bool) -> None:
    payload: dict[str, Any] = {word: "Bounce", "mail": SES_MAIL, "bounce": SES_BOUNCE}
    if enveloped:
        payload = {"Type": "Notification", "MessageId": "sns-1", "TopicArn": "arn:x", "Message": json.dumps(payload)}
    event = one(payload)
    assert (event.kind, event.hard, event.provider) == (EventKind.BOUNCED, True, "ses")
    assert (event.recipient, event.status) == ("ada@customer.test", "5.1.1")
    assert event.reason == "smtp; 550 5.1.1 no such user"
    assert (event.message_id, event.remote_id) == ("<17@our.test>", "0102018e-ses")
    assert event.return_path == "bounce+1-abc@our.test"
    assert event.at == datetime(2026, 3, 1, 10, 0, 5, 123000, UTC)
    assert event.key == one(payload).key


def test_ses_tells_of_all_else() -> None:
    def kinds(word: str, **about: Any) -> list[tuple[str, str]]:
        return [(one.kind.value, one.recipient) for one in read({"eventType": word, "mail": SES_MAIL, **about})]

    both = ("ada@customer.test", "bob@customer.test")
    assert kinds("Delivery", delivery={"recipients": ["ada@customer.test"]}) == [("delivered", both[0])]
    assert kinds("Complaint", complaint={"complainedRecipients": [{"emailAddress": both[1]}]}) == [
        ("complained", both[1])
    ]
    assert kinds("DeliveryDelay", deliveryDelay={"delayedRecipients": [{"emailAddress": both[0]}]}) == [
        ("deferred", both[0])
    ]
    assert kinds("Reject", reject={"reason": "Bad content"}) == [("dropped", one) for one in both]
    assert kinds("Open", open={}) == [("opened", one) for one in both]
    assert kinds("Send") == []


def test_ses_tells_a_bounce_that_passes() -> None:
    soft = {**SES_BOUNCE, "bounceType": "Transient", "bounceSubType": "MailboxFull"}
    assert one({"notificationType": "Bounce", "mail": SES_MAIL, "bounce": soft}).hard is False


def test_sns_asks_to_be_confirmed_and_nothing_is_an_event() -> None:
    asked = {
        "Type": "SubscriptionConfirmation",
        "TopicArn": "arn:aws:sns:eu-west-1:1:bounces",
        "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
    }
    reading = read_provider_events(json.dumps(asked).encode())
    assert reading.events == ()
    assert reading.confirmations == (Confirmation(asked["TopicArn"], asked["SubscribeURL"]),)


def test_sendgrid_tells_of_many_at_once() -> None:
    def event(word: str, **values: Any) -> dict[str, Any]:
        return {"email": "ada@customer.test", "timestamp": 1772359200, "event": word, "sg_event_id": word, **values}

    found = read([
        event("processed"),
        event("bounce", type="bounce", status="5.1.1", reason="550 no such user", **{"smtp-id": "<17@our.test>"}),
        event("bounce", type="blocked", reason="550 5.7.1 spam"),
        event("dropped", reason="Bounced Address"),
        event("dropped", reason="Spam Content"),
        event("deferred", response="450 greylisted", tracking_id="f" * 32),
        event("spamreport"),
        event("group_unsubscribe"),
        event("click", url="https://our.test/x", sg_message_id="14c5d75ce93.dfd.64b469.filter0001"),
    ])  # fmt: skip
    assert [(one.kind.value, one.hard) for one in found] == [
        ("bounced", True),
        ("bounced", False),
        ("dropped", True),
        ("dropped", False),
        ("deferred", False),
        ("complained", False),
        ("unsubscribed", False),
        ("clicked", False),
    ]
    assert (found[0].message_id, found[0].reason, found[0].status) == ("<17@our.test>", "550 no such user", "5.1.1")
    assert (found[4].tracking_id, found[4].reason) == ("f" * 32, "450 greylisted")
    assert (found[7].remote_id, found[7].url) == ("14c5d75ce93", "https://our.test/x")
    assert found[0].at == datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


def test_mailgun_tells_hard_from_soft() -> None:
    def event(word: str, **values: Any) -> ProviderEvent:
        message = {"headers": {"message-id": "17@our.test", "to": "ada@customer.test"}}
        data = {"event": word, "id": "x1", "recipient": "ada@customer.test", "timestamp": 1772359200.5}
        return one({"signature": {}, "event-data": {**data, "message": message, **values}})

    gone = {"code": 550, "message": "no such user", "bounce-type": "hard", "enhanced-code": "5.1.1"}
    hard = event("failed", severity="permanent", reason="generic", **{"delivery-status": gone})
    assert (hard.kind, hard.hard, hard.status) == (EventKind.BOUNCED, True, "5.1.1")
    assert (hard.reason, hard.message_id) == ("no such user", "<17@our.test>")
    soft = event("failed", severity="permanent", reason="old", **{"delivery-status": {"message": "Too old"}})
    assert (soft.kind, soft.hard) == (EventKind.BOUNCED, False)
    assert event("failed", severity="temporary").kind is EventKind.DEFERRED
    dropped = event("failed", severity="permanent", reason="suppress-bounce")
    assert (dropped.kind, dropped.hard) == (EventKind.DROPPED, True)
    named = event("complained", **{"user-variables": {"tracking_id": "f" * 32}})
    assert (named.kind, named.tracking_id) == (EventKind.COMPLAINED, "f" * 32)


def test_postmark_tells_by_its_record_type() -> None:
    def event(record: str, **values: Any) -> tuple[ProviderEvent, ...]:
        return read({"RecordType": record, "MessageID": "883953f4", "Metadata": {"tracking_id": "abc"}, **values})

    (hard,) = event("Bounce", ID=42, Type="HardBounce", Email="ada@customer.test", Details="550 no such user",
                    BouncedAt="2026-03-01T16:33:54.9070259Z")  # fmt: skip
    assert (hard.kind, hard.hard, hard.remote_id, hard.tracking_id) == (EventKind.BOUNCED, True, "883953f4", "abc")
    assert hard.at is not None
    (soft,) = event("Bounce", ID=43, Type="SoftBounce", Email="ada@customer.test")
    assert (soft.kind, soft.hard) == (EventKind.BOUNCED, False)
    assert [one.kind for one in event("Bounce", Type="Transient", Email="ada@customer.test")] == [EventKind.DEFERRED]
    assert event("Bounce", Type="AutoResponder", Email="ada@customer.test") == ()
    assert [one.kind for one in event("SpamComplaint", Email="ada@customer.test")] == [EventKind.COMPLAINED]
    left = {"Recipient": "ada@customer.test", "SuppressSending": True, "SuppressionReason": "ManualSuppression"}
    assert [one.kind for one in event("SubscriptionChange", **left)] == [EventKind.UNSUBSCRIBED]
    assert event("SubscriptionChange", **{**left, "SuppressSending": False}) == ()


@pytest.mark.parametrize(
    ("said", "kind", "hard"),
    [
        ({"type": "bounce", "bounce_type": "hard"}, "bounced", True),
        ({"event": "Hard Bounce"}, "bounced", True),
        ({"event": "soft_bounce", "status": "5.1.1"}, "bounced", False),
        ({"event": "bounced", "status": "5.1.1"}, "bounced", True),
        ({"event": "bounced", "status": "5.7.1"}, "bounced", False),
        ({"event": "spam"}, "complained", False),
        ({"event": "delivered"}, "delivered", False),
    ],
)
def test_our_own_form_takes_synonyms(said: dict[str, str], kind: str, hard: bool) -> None:
    event = one({"email": "ada@customer.test", "message_id": "<17@our.test>", "reason": "because", **said})
    assert (event.kind.value, event.hard, event.provider) == (kind, hard, "own")
    assert (event.recipient, event.message_id, event.reason) == ("ada@customer.test", "<17@our.test>", "because")


def test_an_event_is_known_again_by_its_id_or_by_all_that_it_says() -> None:
    said = {"event": "bounced", "email": "ada@customer.test", "reason": "full"}
    assert one(said).key == one(dict(reversed(said.items()))).key
    assert one(said).key != one({**said, "reason": "gone"}).key
    assert one({**said, "id": 7}).key == one({**said, "id": 7, "reason": "gone"}).key
    assert one({**said, "id": 7}).key != one({**said, "id": 8}).key


def test_what_is_no_event_is_counted_and_what_cannot_be_read_is_refused() -> None:
    assert read_provider_events(b'{"events": [1, null, {}, {"event": "processed"}]}').passed_over == 4
    for body in (b"", b"null", b'"text"', b"7", b"[" * 100_000, b"\xff", b"1" * 5000):
        with pytest.raises(ProviderFormatError):
            read_provider_events(body)
    with pytest.raises(ProviderFormatError, match=str(MOST_EVENTS)):
        read_provider_events(json.dumps([{}] * (MOST_EVENTS + 1)).encode())
    crowd = {"notificationType": "Bounce", "mail": {}, "bounce": {"bouncedRecipients": ["a@b.test"] * 100}}
    with pytest.raises(ProviderFormatError, match=str(MOST_EVENTS)):
        read([crowd] * (MOST_EVENTS // 100 + 1))


def test_a_long_item_costs_once_however_many_recipients_it_tells_of() -> None:
    told = {"bouncedRecipients": [f"a{number}@b.test" for number in range(100)]}
    payload = {"notificationType": "Bounce", "mail": {"pad": ["ab"] * 150_000}, "bounce": told}
    with within(1):
        assert len(read(payload)) == 100


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from([
    *("Type", "Message", "mail", "eventType", "notificationType", "bounce", "bouncedRecipients", "emailAddress"),
    *("event-data", "event", "delivery-status", "severity", "message", "headers", "signature", "recipient", "events"),
    *("RecordType", "Email", "MessageID", "SuppressSending", "sg_event_id", "email", "timestamp", "type", "status"),
])  # fmt: skip
WORDS = st.sampled_from(["Bounce", "bounce", "failed", "SubscriptionChange", "Notification", "ada@x.test", "Complaint"])
SHAPED = st.recursive(JSON | WORDS, lambda inner: st.dictionaries(NAMES, inner, max_size=6), max_leaves=20)


@given(st.binary(max_size=200) | st.lists(SHAPED, max_size=3).map(lambda value: json.dumps(value).encode()))
def test_nothing_raises_but_its_own_error(body: bytes) -> None:
    try:
        reading = read_provider_events(body)
    except ProviderFormatError:
        return
    for event in reading.events:
        assert len(event.key) < 60
        assert "\0" not in event.reason + event.recipient
        assert "\n" not in event.reason
