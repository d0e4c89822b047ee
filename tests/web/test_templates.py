"""Templates at the browser and in JSON: previews in any language, faults with their place, versions."""

from __future__ import annotations

from typing import Any

import pytest

from core.runtime import get_model
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio


@pytest.fixture
async def greet(world: World) -> Any:
    model = await get_model("ModelRegistry").get(identifier="Ticket")
    template = await get_model("EmailTemplate").create(
        identifier="greet",
        name="Greet",
        subject="About {{ name }}",
        content="<h1>Hello {{ contact.name }}</h1>\n<p>{{ 1.5 | number }} {{ nothing.there }}</p>",
        model=model,
    )
    await get_model("EmailTemplateVariant").create(template=template, language="de", subject="Zu {{ name }}")
    return template


async def test_a_preview_in_another_language(visitor: Visitor, world: World, greet: Any) -> None:
    ann = await visitor("ann")
    path = f"/records/Ticket/{world.ticket.id}/template/greet"
    page = (await ann.get(path)).text
    assert "About Broken chair" in page
    assert "Send to 1 person" in page
    page = (await ann.get(f"{path}?locale=de_AT")).text
    assert "Zu Broken chair" in page
    assert "by the variant de" in page
    assert "German (Austria), de_AT" in page
    assert "Send to 1 person" not in page
    assert "1,5" in (await ann.get(f"{path}/body?locale=de_AT")).text
    assert (await ann.get(f"{path}?locale=../x")).status_code == 422


async def test_a_fault_is_shown_with_its_line(visitor: Visitor, world: World, greet: Any) -> None:
    page = (await (await visitor("ann")).get(f"/records/Ticket/{world.ticket.id}/template/greet")).text
    assert "left blank" in page
    assert "greet: content, line 2, column 26" in page
    assert "<pre>&lt;p&gt;{{ 1.5 | number }} {{ nothing.there }}&lt;/p&gt;\n                         ^</pre>" in page


async def test_a_template_that_cannot_be_rendered_still_has_its_page(
    visitor: Visitor, world: World, greet: Any
) -> None:
    greet.content = "<p>{{ name | unknown }}</p>"
    await greet.save()
    answer = await (await visitor("ann")).get(f"/records/Ticket/{world.ticket.id}/template/greet")
    assert answer.status_code == 200
    assert "No filter named &#39;unknown&#39;" in answer.text


async def test_json_says_what_would_be_sent_and_what_is_wrong(visitor: Visitor, world: World, greet: Any) -> None:
    path = f"/api/records/Ticket/{world.ticket.id}/template/greet"
    said = (await (await visitor("ann")).get(f"{path}?locale=de")).json()
    assert (said["texts"]["subject"], said["language"], said["locale"]) == ("Zu Broken chair", "de", "de")
    assert said["recipients"] == ["carla@example.org"]
    assert said["missing"] == ["nothing.there"]
    (fault,) = said["faults"]
    assert (fault["source"], fault["line"], fault["column"]) == ("greet: content", 2, 26)
    assert fault["excerpt"] == "<p>{{ 1.5 | number }} {{ nothing.there }}</p>"
    assert (await (await visitor("eve")).get(path)).status_code == 404
    assert (await (await visitor("nora")).get(path)).status_code in (403, 404)


async def test_versions_are_compared_and_restored(visitor: Visitor, world: World, greet: Any) -> None:
    greet.subject = "On {{ name }}"
    await greet.save(note="Shorter")
    root = await visitor("root")
    page = (await root.get("/templates/greet/history?old=1")).text
    assert "<del>-About {{ name }}</del>" in page
    assert "<ins>+On {{ name }}</ins>" in page
    assert "Shorter" in page
    assert (await root.post("/templates/greet/history", number="1")).status_code == 303
    await greet.refresh_from_db()
    assert greet.subject == "About {{ name }}"
    (last, *_) = await greet.history()
    assert (last.note, last.author.login) == ("Restored from version 1", "root")
    assert (await root.get("/templates/greet/history?old=99")).status_code in (400, 404, 422)
    assert (await root.get("/templates/other/history")).status_code == 404


async def test_who_may_not_read_templates_sees_no_history(visitor: Visitor, greet: Any) -> None:
    nora = await visitor("nora")
    assert (await nora.get("/templates/greet/history")).status_code == 403
    assert (await nora.post("/templates/greet/history", number="1")).status_code == 403
