"""A mail in its reader's language: catalogues, variants, whose language it is; previews; many at once."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from core.errors import PostroomError, TemplateError, UserError
from core.orm.serialize import plain_data, plain_data_of
from core.runtime import Runtime, acting_as, get_model, runtime

pytestmark = pytest.mark.anyio

_CATALOGUE = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid "{}"\nmsgstr "{}"\n'


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, object]:
    folder = tmp_path / "addons" / "note"
    for name, text in {
        "addon.yaml": "name: note\ntitle: Note\nversion: '1'\ndepends: [crm]\n",
        "hooks.py": """
            from core.api import hookimpl


            @hookimpl
            def filter_template_context(context, record):
                if record.name == "broken":
                    raise RuntimeError("no")
                return {**context, "added": record.name.upper()}
            """,
        "i18n/de.po": _CATALOGUE.format("Good day, %(name)s", "Guten Tag, %(name)s"),
        "i18n/de_AT.po": _CATALOGUE.format("Good day, %(name)s", "Servus, %(name)s"),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(text).lstrip("\n"))
    return {"ADDONS": ["core", "crm", "note"], "ADDONS_PATH": [str(folder.parent)], "DEFAULT_LOCALE": "fr"}


async def lead_of(name: str = "Lamps", locale: str = "") -> Any:
    contact = await get_model("Contact").create(name=f"{name} & Co", email="ada@customer.test", locale=locale)
    return await get_model("CrmLead").create(name=name, contact=contact)


async def template(**texts: Any) -> Any:
    model = await get_model("ModelRegistry").get(identifier="CrmLead")
    values = {
        "identifier": "greeting",
        "name": "Greeting",
        "subject": "{{ t('Good day, %(name)s', name=name) }}",
        "content": "<p>{{ added }} {{ 1.5 | number }}</p>",
        **texts,
    }
    return await get_model("EmailTemplate").create(model=model, **values)


async def subject_of(greeting: Any, record: Any) -> str:
    return str((await greeting.render_for(record))["subject"])


async def test_the_language_is_the_contacts_then_the_users_then_the_configured(host: Runtime) -> None:
    greeting, user = await template(), await get_model("User").create(login="g@our.test", name="Grace", locale="de")
    assert await subject_of(greeting, await lead_of()) == "Good day, Lamps"
    with acting_as(user):
        assert await subject_of(greeting, await lead_of()) == "Guten Tag, Lamps"
        assert await subject_of(greeting, await lead_of(locale="de_AT")) == "Servus, Lamps"
        assert await subject_of(greeting, await lead_of(locale="de-CH")) == "Guten Tag, Lamps"
        assert await subject_of(greeting, await lead_of(locale="pl")) == "Good day, Lamps"
    rendered = await greeting.render_for(await lead_of())
    assert rendered["content"] == "<p>LAMPS 1,5</p>"


async def test_a_record_whose_name_is_a_message_keeps_it(host: Runtime) -> None:
    greeting = await template(content="<p>{{ name }}</p>")
    rendered = await greeting.render_for(await lead_of("Good day, %(name)s", "de"))
    assert rendered["content"] == "<p>Good day, %(name)s</p>"
    assert rendered["subject"] == "Guten Tag, Good day, %(name)s"


async def test_a_variant_is_chosen_by_the_same_fallback(host: Runtime) -> None:
    greeting = await template()
    variants = get_model("EmailTemplateVariant")
    await variants.create(template=greeting, language="de", subject="Deutsch {{ 1.5 | number }}")
    austrian = await variants.create(template=greeting, language="de_AT", content="<p>Wien</p>")
    said = await greeting.render_for(await lead_of(locale="de_CH"))
    assert (said["subject"], said["content"]) == ("Deutsch 1.5", "<p>LAMPS 1.5</p>")
    said = await greeting.render_for(await lead_of(locale="de_AT"))
    assert (said["subject"], said["content"]) == ("Servus, Lamps", "<p>Wien</p>")
    austrian.active = False
    await austrian.save()
    assert await subject_of(greeting, await lead_of(locale="de_AT")) == "Deutsch 1,5"
    assert await subject_of(greeting, await lead_of(locale="fr")) == "Good day, Lamps"


@pytest.mark.parametrize("language", ["german", "de-at", "DE", "", "../x"])
async def test_a_variant_has_a_language(host: Runtime, language: str) -> None:
    with pytest.raises(UserError, match="is no language"):
        await get_model("EmailTemplateVariant").create(template=await template(), language=language)


async def test_a_preview_tells_every_fault_with_its_line(host: Runtime) -> None:
    model = await get_model("ModelRegistry").get(identifier="CrmLead")
    report = await get_model("ReportAction").create(
        identifier="sheet",
        name="Sheet",
        model=model,
        content="<h1>\n{{ nme }}</h1>",
        file_name="{{ name }} {{ x.y }}.pdf",
    )
    greeting = await template(
        subject="{{ name }} {{ nothing }}",
        content="<p>\n  {{ 1 / 0 }}</p>",
        to_email="{{ contact.email | shout }}",
        cc_email="a@@b",
        report=report,
    )
    await get_model("EmailTemplateVariant").create(template=greeting, language="de", content="<p>{% if %}</p>")
    shown = await greeting.preview(await lead_of())
    told = {(one.source, one.line, one.column, one.excerpt) for one in shown.faults}
    assert told == {
        ("greeting: subject", 1, 15, "{{ name }} {{ nothing }}"),
        ("greeting: content", 2, 8, "  {{ 1 / 0 }}</p>"),
        ("greeting: to_email", 1, 20, "{{ contact.email | shout }}"),
        ("greeting: cc_email", None, None, "a@@b"),
        ("sheet: content", 2, 4, "{{ nme }}</h1>"),
        ("sheet: file_name", 1, 15, "{{ name }} {{ x.y }}.pdf"),
    }
    assert (shown.texts["subject"], shown.texts["content"], shown.missing) == ("Lamps", "", ("nothing",))
    german = await greeting.preview(await lead_of(), locale="de_AT")
    assert (german.language, german.locale) == ("de", "de_AT")
    assert "greeting (de): content" in {one.source for one in german.faults}


async def test_a_preview_without_a_fault_has_all_texts(host: Runtime) -> None:
    shown = await (await template(to_email="{{ contact.email }}")).preview(await lead_of())
    assert (shown.faults, shown.missing, shown.language) == ((), (), "")
    assert shown.texts["to_email"] == "ada@customer.test"


# Many at once.


async def test_many_render_as_one_does_and_a_bad_one_stops_nobody(host: Runtime) -> None:
    greeting = await template(content="<p>{{ contact.name }} {{ 10 / expected_revenue }}</p>")
    leads = [await lead_of(f"Lead {number}", "de" if number % 2 else "") for number in range(6)]
    for lead in leads:
        lead.expected_revenue = 5
        await lead.save()
    leads[2].name, leads[4].expected_revenue = "broken", 0
    rendered = await greeting.render_many(leads)
    for number in (0, 1, 3, 5):
        assert rendered[number] == await greeting.render_for(leads[number])
    assert [one["subject"] for one in rendered if isinstance(one, dict)] == [
        "Good day, Lead 0", "Guten Tag, Lead 1", "Guten Tag, Lead 3", "Guten Tag, Lead 5",
    ]  # fmt: skip
    assert isinstance(rendered[2], PostroomError)
    assert "note" in str(rendered[2])
    assert isinstance(rendered[4], TemplateError)
    assert await greeting.render_many([]) == []
    mails = await greeting.mails_for(leads)
    assert [isinstance(mail, dict) for mail in mails] == [True, True, False, True, False, True]
    assert mails[0] == await greeting.mail_for(leads[0])


async def test_many_cost_a_query_for_each_relation_and_no_parse(host: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    greeting = await template()
    for number in range(40):
        await lead_of(f"Lead {number}")
    leads = await get_model("CrmLead").all().order_by("id")
    asked: list[str] = []
    client = type(runtime().database.client)
    execute = client.execute_query

    async def counted(self: Any, query: str, *values: Any) -> Any:
        asked.append(query)
        return await execute(self, query, *values)

    await greeting.render_many(leads[:1])
    parsed = runtime().renderer.compiled.cache_info().misses
    monkeypatch.setattr(client, "execute_query", counted)
    costs = []
    for count in (2, 40):
        asked.clear()
        await greeting.render_many(await get_model("CrmLead").all().order_by("id").limit(count))
        costs.append(len(asked))
    assert costs[0] == costs[1] < 10
    assert runtime().renderer.compiled.cache_info().misses == parsed


async def test_plain_data_of_many_is_plain_data_of_each(host: Runtime) -> None:
    leads = [await lead_of(f"Lead {number}") for number in range(3)]
    leads.append(await get_model("CrmLead").create(name="Alone"))
    assert await plain_data_of(leads) == [await plain_data(lead) for lead in leads]
