"""`/api/core/mail`: who may ask, what the answers are, and what is told of what goes wrong."""

from __future__ import annotations

from itertools import product
from typing import Any

import httpx2
import pytest

from core.runtime import get_model
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio

MAIL = {"mail_to": "x@y.example", "mail_subject": "Hello", "mail_body_text": "Hello"}


@pytest.fixture
def settings(settings: dict[str, object]) -> dict[str, object]:
    return {**settings, "MAIL_MODE": "live"}


@pytest.fixture
async def account(world: World) -> Any:
    team = await get_model("Team").create(name="Invoices", type="mail")
    await team.members.add(await get_model("User").get(login="ann"))
    return await get_model("MailAccount").create(
        team=team,
        account="e-invoice",
        mail_smtp_server="127.0.0.1",
        mail_smtp_port=1,
        mail_pop3_server="127.0.0.1",
        mail_pop3_port=1,
        mail_username="somebody",
        mail_password="hunter2",
        mail_from="invoices@desk.example",
    )


async def program(visitor: Visitor, login: str, *scopes: str) -> httpx2.AsyncClient:
    client = (await visitor()).client
    user = await get_model("User").get(login=login)
    _, text = await get_model("ApiToken").issue(user, "test", scopes or ("mail",))
    client.headers["Authorization"] = f"Token {text}"
    return client


async def test_a_mail_is_queued_once_for_a_remote_id(visitor: Visitor, account: Any) -> None:
    ann = await program(visitor, "ann")
    mail = {**MAIL, "mail_remote_id": "7", "mail_remote_source": "invoice", "mail_account": "e-invoice"}
    first, again = [await ann.post("/api/core/mail/send/e-invoice", json=mail) for _ in range(2)]
    assert first.json() == {"id": first.json()["id"], "state": "queued", "mail_account": "e-invoice", "known": False}
    assert again.json() == {**first.json(), "known": True}
    assert await get_model("Delivery").all().count() == 1


async def test_a_document_may_have_a_number(visitor: Visitor, account: Any) -> None:
    ann = await program(visitor, "ann")
    answers = [
        (await ann.post("/api/core/mail/send/e-invoice", json={**MAIL, "mail_remote_id": number})).json()
        for number in (932304, "932304")
    ]
    assert [one["known"] for one in answers] == [False, True]
    assert (await get_model("Mail").get()).mail_remote_id == "932304"


REFUSED: tuple[Any, ...] = (
    {**MAIL, "mail_account": "other"},
    {**MAIL, "mail_to": "nobody"},
    {**MAIL, "mail_to": None},
    {**MAIL, "mail_to": " ; "},
    {**MAIL, "mail_to": ""},
    {**MAIL, "mail_to": "x@y.example\r\nBcc: z@y.example"},
    {**MAIL, "mail_to": ",".join(f"{number}@y.example" for number in range(101))},
    {**MAIL, "mail_attachments": "x"},
    {**MAIL, "mail_attachments": "a7590409-b792-8f1c-81d0-0191a509d671"},
    {**MAIL, "mail_subject": "x" * 999},
    {**MAIL, "mail_body_text": 7},
    [],
)


async def test_what_cannot_be_sent_is_told_and_not_stored(visitor: Visitor, account: Any) -> None:
    ann = await program(visitor, "ann")
    for body in REFUSED:
        answer = await ann.post("/api/core/mail/send/e-invoice", json=body)
        assert (answer.status_code, answer.json()["status"]) == (422, 422), answer.text
    assert [await get_model(name).all().count() for name in ("Mail", "Message", "Delivery")] == [0, 0, 0]


async def test_no_second_header_comes_of_a_subject_and_unknown_fields_are_passed_over(
    visitor: Visitor, account: Any
) -> None:
    ann = await program(visitor, "ann")
    mail = {**MAIL, "mail_subject": "a\r\nBcc: z@y.example", "something_else": 1}
    assert (await ann.post("/api/core/mail/send/e-invoice", json=mail)).status_code == 200
    raw = await (await get_model("Message").get()).eml()
    assert b"\r\nSubject: a Bcc: z@y.example\r\n" in raw


async def test_both_methods_and_all_ways_to_write_it_are_taken(visitor: Visitor, account: Any) -> None:
    ann = await program(visitor, "ann")
    for act in ("pull", "push", "sync"):
        for method, place in product(("GET", "POST"), ("", "/", "/e-invoice")):
            answer = await ann.request(method, f"/api/core/mail/{act}{place}")
            assert answer.status_code == 200, answer.text
            assert [one["account"] for one in answer.json()["accounts"]] == ["e-invoice"]
            assert "127.0.0.1" not in answer.text


async def test_a_failure_is_told_without_hosts_and_step_by_step_for_administrators(
    visitor: Visitor, account: Any
) -> None:
    team = await get_model("Team").get()
    await team.members.add(await get_model("User").get(login="root"))
    for login, sees in (("ann", False), ("root", True)):
        client = await program(visitor, login)
        answer = (await client.get("/api/core/mail/sync/e-invoice", params={"debug": "true"})).json()
        (told,) = answer["accounts"]
        assert (answer["ok"], told["ok"], len(told["errors"])) == (False, False, 1)
        assert {(one["protocol"], one["ok"]) for one in told["debug"]} >= {("pop3", False), ("smtp", False)}
        assert ("127.0.0.1" in str(answer), "hunter2" in str(answer)) == (sees, False)


async def test_only_members_with_the_scope_may(visitor: Visitor, account: Any) -> None:
    for login in ("eve", "root", "guest"):
        other = await program(visitor, login)
        for name in ("e-invoice", "nothing", "%00", "x" * 100):
            answers = [
                await other.post(f"/api/core/mail/send/{name}", json=MAIL),
                await other.get(f"/api/core/mail/pull/{name}"),
            ]
            assert {one.status_code for one in answers} <= {404, 422}
        assert (await other.post("/api/core/mail/sync")).json() == {
            "ok": True,
            "pulled": 0,
            "sent": 0,
            "accounts": [],
        }
    reader = await program(visitor, "ann", "read", "write")
    assert (await reader.get("/api/core/mail/pull")).status_code == 403
    nobody = (await visitor()).client
    assert (await nobody.get("/api/core/mail/pull")).status_code == 401


async def test_a_page_posts_and_no_link_can_act(visitor: Visitor, account: Any) -> None:
    ann = await visitor("ann")
    assert (await ann.get("/api/core/mail/push")).status_code == 403
    assert (await ann.client.post("/api/core/mail/push", headers={"Origin": "https://evil.example"})).status_code == 403
    answer = await ann.client.post("/api/core/mail/push", headers={"X-CSRF-Token": ann.token})
    assert answer.status_code == 200


async def test_own_files_go_along_and_those_of_others_do_not(visitor: Visitor, account: Any) -> None:
    ann, eve = [await get_model("User").get(login=login) for login in ("ann", "eve")]
    own = await get_model("Attachment").keep("own.txt", b"own", created_by=ann)
    foreign = await get_model("Attachment").keep("foreign.txt", b"foreign", created_by=eve)
    client = await program(visitor, "ann")
    sent = [
        await client.post("/api/core/mail/send/e-invoice", json={**MAIL, "mail_attachments": one.uuid})
        for one in (own, foreign)
    ]
    assert [one.status_code for one in sent] == [200, 422]
    assert [one.name for one in await get_model("Attachment").filter(messages__id__not_isnull=True)] == ["own.txt"]
