"""Templates and reports on real records: what their authors can reach, and whom their mails go to (SECURITY 3.A)."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import AddressError, TemplateError, UserError
from core.mail.parse import parse
from core.orm.serialize import plain_data
from core.runtime import Runtime, get_model, runtime

pytestmark = pytest.mark.anyio

SECRET = "do-not-tell"
USER = {
    *("id", "identifier", "display_name", "login", "name", "signature", "locale", "timezone", "is_admin", "active"),
    *("contact", "contact_id", "companies", "company", "company_id", "groups", "created_at"),
}
"""All that a template may know of a user."""


@pytest.fixture
def settings() -> dict[str, object]:
    return {"ADDONS": ["core", "crm"], "MAIL_DOMAIN": "our.test", "SMTP_FROM_EMAIL": "office@our.test"}


@pytest.fixture
async def lead(host: Runtime) -> Any:
    contact = await get_model("Contact").create(name='Ada "Countess" Byron', email="ada@customer.test")
    return await get_model("CrmLead").create(name="Lamps", contact=contact)


async def template(**texts: Any) -> Any:
    model = await get_model("ModelRegistry").get(identifier="CrmLead")
    values = {"identifier": "greeting", "name": "Greeting", "subject": "Hello", "content": "<p>Hello</p>", **texts}
    return await get_model("EmailTemplate").create(model=model, **values)


async def recipients(message: Any) -> list[str]:
    rows: list[str] = (
        await get_model("Delivery").filter(message=message).order_by("id").values_list("recipient", flat=True)
    )
    return rows


async def test_t2_no_secret_is_in_the_data_of_any_model(lead: Any) -> None:
    user = get_model("User")(login="grace@our.test", name="Grace")
    await user.set_password(SECRET)
    await user.save()
    lead.user = user
    await lead.save()
    await get_model("OutgoingMailServer").create(name="Out", server="x.test", password=SECRET)
    await get_model("IncomingMailServer").create(name="In", server="x.test", password=SECRET)
    message = await lead.post_message("<p>Hello</p>", to=["ada@customer.test"], author=None)
    await get_model("SeedRecord").create(
        addon="crm",
        identifier="x",
        model="IncomingMailServer",
        record_id=1,
        file="x.yaml",
        shipped={"password": SECRET},
    )
    secrets = {SECRET, user.password_hash, message.tracking_identifier}
    seen = set()
    for entry in runtime().registry:
        for record in await get_model(entry.name).all().limit(5):
            told = str(await plain_data(record))
            assert not [secret for secret in secrets if secret in told], entry.name
            seen.add(entry.name)
    assert seen >= {"User", "OutgoingMailServer", "IncomingMailServer", "SeedRecord", "Message", "Delivery", "CrmLead"}


async def test_t2_of_a_user_these_names_are_known_and_no_more(lead: Any) -> None:
    lead.user = await get_model("User").create(login="grace@our.test", name="Grace")
    await lead.save()
    assert set((await plain_data(lead))["user"]) == USER


async def test_a_mail_goes_to_whom_its_template_names(lead: Any) -> None:
    await template(
        to_email="\"{{ contact.name | replace('\"', '\\\\\"') }}\" <{{ contact.email }}>", cc_email="a@our.test"
    )
    message = await lead.send_template("greeting")
    assert message.email_to == [r'"Ada \"Countess\" Byron" <ada@customer.test>']
    assert await recipients(message) == ["ada@customer.test", "a@our.test"]


async def test_a_template_without_addresses_goes_to_whom_the_record_is_about(lead: Any) -> None:
    await template()
    assert await recipients(await lead.send_template("greeting")) == ["ada@customer.test"]


@pytest.mark.parametrize("line", ["{{ user.login }}", "{{ email_from }}", "nobody at all"])
async def test_a_mail_for_nobody_goes_to_nobody_else(lead: Any, line: str) -> None:
    await template(to_email=line)
    with pytest.raises(UserError, match=r"greeting.*to_email"):
        await lead.send_template("greeting")
    assert await get_model("Delivery").all().count() == 0
    message = await lead.send_template("greeting", to=["bob@customer.test"])
    assert await recipients(message) == ["bob@customer.test"]


async def test_an_address_that_cannot_be_read_is_not_left_out_in_silence(lead: Any) -> None:
    await template(to_email="ada@customer.test, bob@@customer.test")
    with pytest.raises((AddressError, UserError)):
        await lead.send_template("greeting")
    assert await get_model("Delivery").all().count() == 0


async def test_a_report_has_a_name_that_every_file_system_takes(lead: Any) -> None:
    model = await get_model("ModelRegistry").get(identifier="CrmLead")
    lead.name = "../" + "long " * 59
    report = get_model("ReportAction")(
        identifier="r", name="R", model=model, content="<p>x</p>", file_name="{{ name }}\u202e{{ name }}.pdf"
    )
    name = (await report.render_pdf(lead)).name
    assert name.endswith("long.pdf")
    assert len(name) <= 255
    assert "\u202e" not in name


async def test_render_template_gives_subject_and_content(lead: Any) -> None:
    """reference/000: looked up by identifier, rendered by model name and id."""
    await template(subject="{{ name }} for {{ contact.name }}", content="<p>{{ contact.name }}, {{ object.name }}</p>")
    found = await get_model("EmailTemplate").filter(identifier="greeting").first()
    assert await found.render_template(found, "CrmLead", lead.id) == {
        "subject": 'Lamps for Ada "Countess" Byron',
        "content": "<p>Ada &#34;Countess&#34; Byron, Lamps</p>",
    }
    with pytest.raises(UserError, match="no CrmLead 999"):
        await found.render_template(found, "CrmLead", 999)


async def test_a_fault_while_rendering_says_where(lead: Any) -> None:
    broken = await template(content="<p>Hello</p>\n<p>{{ 1 / 0 }}</p>")
    with pytest.raises(TemplateError) as caught:
        await broken.render_template(broken, "CrmLead", lead.id)
    assert (caught.value.source, caught.value.line) == ("greeting: content", 2)


async def test_report_and_static_files_are_both_attached(lead: Any) -> None:
    model = await get_model("ModelRegistry").get(identifier="CrmLead")
    report = await get_model("ReportAction").create(
        identifier="sheet", name="Sheet", model=model, content="<h1>{{ name }}</h1>", file_name="{{ name }}.pdf"
    )
    terms = await get_model("Attachment").create(
        name="terms.txt", content_type="text/plain", content=b"Terms", size_bytes=5, sha256="0" * 64
    )
    greeting = await template()
    greeting.report = report
    await greeting.save()
    await greeting.attachments.add(terms)
    message = await lead.send_template("greeting")
    mail = parse(await message.eml())
    assert {file.name: file.content[:5] for file in mail.files} == {"terms.txt": b"Terms", "Lamps.pdf": b"%PDF-"}


async def test_what_a_template_says_of_doubt_and_tracking_goes_with_its_mail(lead: Any) -> None:
    greeting = await template(on_unknown="hold")
    assert (await lead.send_template("greeting")).on_unknown == "hold"
    assert (await lead.send_template("greeting", on_unknown="retry")).on_unknown == "retry"
    greeting.on_unknown = None
    await greeting.save()
    assert (await lead.send_template("greeting")).on_unknown is None
    assert "track" not in await greeting.mail_for(lead)
    greeting.track = False
    assert (await greeting.mail_for(lead))["track"] is False
