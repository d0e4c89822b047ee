"""What a template said before: a version for each change, differences, and the way back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.errors import UserError
from core.models.email_template_version import difference
from core.runtime import Runtime, acting_as, get_model
from tests.budget import within

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings() -> dict[str, object]:
    return {"ADDONS": ["core", "crm"], "MAIL_DOMAIN": "our.test", "SMTP_FROM_EMAIL": "office@our.test"}


@pytest.fixture
async def template(host: Runtime) -> Any:
    model = await get_model("ModelRegistry").get(identifier="CrmLead")
    return await get_model("EmailTemplate").create(
        model=model, identifier="hello", name="Hello", subject="One", content="<p>a</p>\n<p>b</p>"
    )


async def numbers(template: Any) -> list[tuple[int, str, str]]:
    return [(one.number, one.language, one.note) for one in await template.history()]


async def test_each_change_of_the_words_is_a_version_and_nothing_else_is(template: Any) -> None:
    assert await numbers(template) == [(1, "", "")]
    user = await get_model("User").create(login="grace@our.test", name="Grace")
    with acting_as(user):
        template.subject = "Two"
        await template.save(note="Clearer")
    await template.save()
    template.active = False
    await template.save(update_fields=["active"])
    template.to_email = "{{ contact.email }}"
    await template.save(update_fields=["to_email"])
    assert await numbers(template) == [(3, "", ""), (2, "", "Clearer"), (1, "", "")]
    assert [version.author and version.author.name for version in await template.history()] == [None, "Grace", None]


async def test_a_difference_names_its_fields(template: Any) -> None:
    template.content = "<p>a</p>\n<p>c</p>"
    await template.save()
    assert await template.diff(1, 2) == (
        "--- content (version 1)\n+++ content (version 2)\n@@ -1,2 +1,2 @@\n <p>a</p>\n-<p>b</p>\n+<p>c</p>\n"
    )
    assert "content (now)" in await template.diff(1)
    assert await template.diff(2) == ""
    assert await template.diff(2, 2) == ""
    with pytest.raises(UserError, match="has no version 9"):
        await template.diff(9)


async def test_what_is_queued_goes_out_as_it_was_queued(template: Any) -> None:
    lead = await get_model("CrmLead").create(name="Lamps", email_from="ada@customer.test")
    message = await lead.send_template("hello", to=["ada@customer.test"])
    before = await message.eml()
    template.subject = "Two"
    await template.save()
    await template.restore(1)
    await template.delete()
    stored = await get_model("Message").get(id=message.id)
    assert await stored.eml() == before
    assert stored.subject == "One"


async def test_a_version_is_restored_by_a_new_one(template: Any) -> None:
    template.subject, template.content = "Two", "<p>two</p>"
    await template.save()
    await template.restore(1)
    await template.refresh_from_db()
    assert (template.subject, template.content) == ("One", "<p>a</p>\n<p>b</p>")
    assert (await numbers(template))[0] == (3, "", "Restored from version 1")


async def test_variants_have_their_versions_among_them(template: Any) -> None:
    variants = get_model("EmailTemplateVariant")
    variant = await variants.create(template=template, language="de", subject="Eins")
    variant.subject = "Zwei"
    await variant.save(note="Genauer")
    assert await numbers(template) == [(3, "de", "Genauer"), (2, "de", ""), (1, "", "")]
    assert "-Eins\n+Zwei\n" in await template.diff(2)
    await variant.delete()
    await template.restore(2)
    assert (await variants.get(template=template, language="de")).subject == "Eins"
    await template.delete()
    assert await get_model("EmailTemplateVersion").all().count() == 0


async def test_texts_that_compile_no_more_are_not_restored(template: Any) -> None:
    template.content = "<p>{{ name | gone }}</p>"
    await template.save()
    template.content = "<p>mended</p>"
    await template.save()
    with pytest.raises(UserError, match=r"Version 2 cannot be restored: content, line 1.*'gone'"):
        await template.restore(2)
    await template.refresh_from_db()
    assert template.content == "<p>mended</p>"


async def test_a_template_from_before_versions_keeps_what_it_said(template: Any) -> None:
    await get_model("EmailTemplateVersion").all().delete()
    template.subject = "Two"
    await template.save()
    first, second = reversed(await template.history())
    assert (first.number, first.texts["subject"]) == (1, "One")
    assert (second.number, second.texts["subject"]) == (2, "Two")


async def test_two_who_change_it_at_once_both_have_a_version(template: Any) -> None:
    async def change(word: str) -> None:
        mine = await get_model("EmailTemplate").get(id=template.id)
        mine.subject = word
        await mine.save()

    await asyncio.gather(*(change(f"Word {number}") for number in range(5)))
    assert [number for number, _, _ in await numbers(template)] == [6, 5, 4, 3, 2, 1]


async def test_a_change_that_is_rolled_back_has_no_version(template: Any) -> None:
    template.subject = "x" * 2000
    with pytest.raises(Exception, match="subject"):
        await template.save()
    assert await numbers(template) == [(1, "", "")]


def test_very_long_texts_are_compared_in_bearable_time() -> None:
    with within(5):
        for count in (1_999, 40_000):
            old = "".join(f"{number}\n" for number in range(count))
            new = "".join(f"{number * 7 % count}\n" for number in range(count))
            assert difference({"content": old}, {"content": new}, "then", "now").startswith("--- content (then)\n")
            assert difference({"content": old}, {"content": old}, "then", "now") == ""
