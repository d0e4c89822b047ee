"""A record with a timeline speaks by channels: the CRM with SMS, in the dev mailbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.responses import Response

from core.config import load_configuration
from core.delivery.engine import Engine
from core.errors import UserError
from core.host.host import open_host
from core.host.install import update
from core.runtime import get_model
from core.web.app import create_app
from core.web.session import COOKIE, open_session, write_session

pytestmark = pytest.mark.anyio
NUMBER = "+442079460151"


@pytest.fixture
async def host(database_url: str, tmp_path: Path) -> AsyncIterator[Any]:
    values = {
        "DATABASE_URL": database_url,
        "VAR_DIR": str(tmp_path / "var"),
        "ADDONS": ["crm", "sms", "whatsapp"],
        "MAIL_MODE": "catch",
        "SECRET_KEY": "only for tests",
        "SMTP_FROM_EMAIL": "office@lakeside.example",
        "PHONE_REGION": "GB",
    }
    async with open_host(load_configuration(environment={}, overrides=values)) as runtime:
        await update(runtime, demo=True)
        yield runtime


@pytest.fixture
async def lead(host: Any) -> Any:
    contact = await get_model("Contact").create(name="Ada", email="ada@engine.example", mobile="020 7946 0151")
    return await get_model("CrmLead").create(name="Shelves", contact=contact, contact_name="Ada")


@pytest.fixture
async def browser(host: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """An administrator's browser, whose forms carry their token."""
    user = await get_model("User").create(login="root@office.example", name="Root", is_admin=True)
    session, response = await open_session(user), Response()
    write_session(response, session)
    cookie = response.headers["set-cookie"].partition("=")[2].partition(";")[0].strip('"')
    transport = httpx2.ASGITransport(app=create_app())
    headers = {"x-csrf-token": session.form_token}
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        client.cookies.set(COOKIE, cookie)
        yield client


async def flush() -> None:
    async with Engine("test") as engine:
        await engine.drain()


async def test_a_text_goes_to_the_correspondent_and_stands_on_the_timeline(lead: Any) -> None:
    await lead.post_message("<p>A mail</p>")
    message = await lead.send_message("Shall I call?", channel="sms")
    await flush()
    (first, second) = await lead.timeline()
    assert (first.pk, first.channel, first.send_state) == (message.pk, "sms", "Sent")
    assert first.email_to == [NUMBER]
    assert second.channel == "email"
    mail = await lead.post_message("<p>Another mail</p>")
    assert mail.in_reply_to == second.message_id


async def test_a_note_becomes_no_text(lead: Any) -> None:
    note = await lead.post_note("<p>Inside</p>")
    with pytest.raises(UserError, match="stays as it is"):
        await get_model("Message").queue_message("sms", None, [NUMBER], "Hi", message=note)


async def test_an_answer_is_on_the_timeline_with_its_contact(lead: Any) -> None:
    await lead.send_message("Shall I call?", channel="sms")
    await flush()
    caught = await get_model("CaughtEmail").get()
    answer = await caught.text_back("Yes, at four")
    (newest, _) = await lead.timeline()
    assert (newest.pk, newest.direction, newest.author_contact.name) == (answer.pk, "Inbound", "Ada")


async def test_a_lead_without_a_number_says_so(host: Any) -> None:
    lead = await get_model("CrmLead").create(name="Nobody")
    with pytest.raises(UserError, match="nobody with an address for sms"):
        await lead.send_message("Hi", channel="sms")
    assert await lead.timeline() == []


async def test_a_template_is_plain_text_and_its_options_are_rendered(lead: Any) -> None:
    model = await get_model("ModelRegistry").get(identifier="CrmLead")
    await get_model("TextTemplate").create(
        identifier="ready", name="Ready", channel="whatsapp", model=model,
        content="{{ contact_name }} & Co: {{ name }}",
        options={"template": {"name": "ready", "parameters": ["{{ contact_name }}", 3]}},
    )  # fmt: skip
    message = await lead.send_message(template="ready")
    assert (message.channel, message.text) == ("whatsapp", "Ada & Co: Shelves")
    assert message.presentation == {"options": {"template": {"name": "ready", "parameters": ["Ada", 3]}}}
    with pytest.raises(UserError, match="no active TextTemplate"):
        await lead.send_message(template="reddy")
    faults = await get_model("TextTemplate").check_values({"content": "{{ name", "options": {"a": ["{% if %}"]}})
    assert len(faults) == 2


async def test_a_person_sends_follows_and_answers_it_on_pages(lead: Any, browser: httpx2.AsyncClient) -> None:
    place = f"/records/CrmLead/{lead.pk}"
    page = (await browser.get(place)).text
    assert "Send SMS" in page
    assert "Send WhatsApp" in page
    sent = await browser.post(f"{place}/text/sms", data={"to": "020 7946 0151", "body": "Zwölf\r\nUhr? 😀"})
    assert sent.status_code == 303, sent.text
    await flush()
    page = (await browser.get(place)).text
    assert "SMS out" in page
    assert "13 characters, 1 segment (UCS-2)" in page
    assert ">SMS</span>" in (await browser.get("/outbox")).text
    caught = await get_model("CaughtEmail").get()
    shown = (await browser.get(f"/dev/mail/{caught.pk}")).text
    assert "Receipt: read" in shown
    assert "Zwölf" in shown
    assert ">SMS</span>" in (await browser.get("/dev/mail")).text
    played = await browser.post(f"/dev/mail/{caught.pk}/read", data={"recipient": NUMBER})
    assert played.headers["location"] == f"/messages/{caught.message_id}"
    assert "Read" in (await browser.get(played.headers["location"])).text
    answered = await browser.post(f"/dev/mail/{caught.pk}/reply", data={"recipient": NUMBER, "text": "<b>Yes</b>"})
    assert answered.status_code == 303
    page = (await browser.get(place)).text
    assert "SMS in" in page
    assert "&lt;b&gt;Yes" in page
    assert (await browser.post(f"/dev/mail/{caught.pk}/bounce", data={"recipient": NUMBER})).status_code >= 400


async def test_what_could_not_be_sent_is_kept_in_its_form(lead: Any, browser: httpx2.AsyncClient) -> None:
    place = f"/records/CrmLead/{lead.pk}/text"
    other = await browser.post(f"{place}/sms", data={"to": "+4930123456", "body": "My words"})
    assert other.status_code >= 400
    assert "My words" in other.text
    assert (await browser.post(f"{place}/pager", data={"to": "1", "body": "x"})).status_code == 404
    assert await get_model("Delivery").all().count() == 0


async def test_a_provider_s_secrets_are_shown_nowhere(host: Any, browser: httpx2.AsyncClient) -> None:
    provider = await get_model("SmsProvider").create(
        name="Twilio", kind="twilio", username="AC1", secret="s3cr3t", webhook_secret="w0rd", sender="+1"
    )
    for path in ("/records/SmsProvider", "/api/records/SmsProvider"):
        for place in (path, f"{path}/{provider.pk}"):
            answer = await browser.get(place)
            assert answer.status_code == 200, place
            assert "Twilio" in answer.text
            assert "s3cr3t" not in answer.text
            assert "w0rd" not in answer.text
    table = get_model("SmsProvider")._meta.db_table
    (row,) = await host.database.fetch(f'SELECT secret, webhook_secret FROM "{table}" WHERE id = {provider.pk}')
    assert all(value.startswith("gAAAA") for value in row.values())


async def test_commands_send_try_and_list(lead: Any, host: Any) -> None:
    commands = {command.name: command for addon, command in host.contributions.commands if addon == "sms"}
    await commands["send"].run(["020 7946 0151", "Hello", f"CrmLead:{lead.pk}"])
    (sent,) = await commands["send"].run([NUMBER, "Hello"])
    assert (sent["to"], sent["length"]) == (["+442079460151"], "5 characters, 1 segment (GSM-7)")
    (entry,) = await lead.timeline()
    assert entry.channel == "sms"
    (tried,) = await commands["test"].run(["Dev mailbox", NUMBER])
    assert (tried["provider"], tried["outcome"]) == ("Dev mailbox", "sent")
    assert "Kept in the dev mailbox" in tried["words"]
    rows = await commands["ls"].run([])
    assert ("Dev mailbox", "dev", "used") in [(row["name"], row["kind"], row["state"]) for row in rows]
    for words in ([], [NUMBER], [NUMBER, "Hi", "Contact:1"], [NUMBER, "Hi", "CrmLead:x"]):
        with pytest.raises(UserError):
            await commands["send"].run(words)
