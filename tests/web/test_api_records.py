"""Records of any model over HTTP: lists, one record, making, changing and deleting it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from core.runtime import get_model
from tests.databases import both as database_url
from tests.web.conftest import World
from tests.web.program import program_of

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio


def faults_of(answer: httpx2.Response) -> dict[str, str]:
    return {one["pointer"]: one["detail"] for one in answer.json()["faults"]}


async def test_a_record_is_made_read_changed_and_deleted(ann: httpx2.AsyncClient, world: World) -> None:
    made = await ann.post("/api/records/Ticket", json={"name": "Lamp", "amount": "12.5", "contact": world.contact.id})
    assert made.status_code == 201, made.text
    lamp, path = made.json(), made.headers["location"]
    assert path == f"/api/records/Ticket/{lamp['id']}"
    assert (lamp["amount"], lamp["stage"], lamp["display_name"]) == ("12.50", "new", "Lamp")
    assert lamp["contact"] == {"id": world.contact.id, "display_name": "Carla Customer"}
    assert lamp["company"]["id"] == world.company.id, "nobody said so, and it is the caller's"
    read = await ann.get(path)
    assert read.json() == lamp
    assert read.headers["etag"] == made.headers["etag"]
    changed = await ann.patch(path, json={"stage": "done", "contact": None})
    assert (changed.status_code, changed.json()["stage"], changed.json()["contact"]) == (200, "done", None)
    assert changed.headers["etag"] != made.headers["etag"]
    assert (await ann.delete(path)).status_code == 204
    assert (await ann.get(path)).status_code == 404


async def test_what_is_read_can_be_sent_back(ann: httpx2.AsyncClient, world: World) -> None:
    path = f"/api/records/Ticket/{world.ticket.id}"
    read = (await ann.get(path)).json()
    sent = {name: read[name] for name in ("name", "stage", "amount", "contact", "company", "steps")}
    assert (await ann.patch(path, json=sent)).json() == read


async def test_a_change_runs_the_models_own_save(ann: httpx2.AsyncClient, world: World) -> None:
    path = f"/api/records/Ticket/{world.ticket.id}"
    await ann.patch(path, json={"stage": "done"})
    entry = (await ann.get(f"{path}/timeline")).json()["items"][0]
    assert (entry["kind"], entry["author"]) == ("tracking", "Ann")
    assert entry["changes"] == [{"field": "stage", "old": "New", "new": "Done"}]


@pytest.mark.parametrize(
    ("values", "pointer", "words"),
    [
        ({"name": 7}, "/name", "valid string"),
        ({"name": "x" * 201}, "/name", "at most 200"),
        ({"name": None}, "/name", "valid string"),
        ({"nmae": "x"}, "/nmae", 'Did you mean "name"?'),
        ({"stage": "gone"}, "/stage", "'new' or 'done'"),
        ({"amount": "12.345"}, "/amount", "2 decimal places"),
        ({"amount": "1e99"}, "/amount", "digits"),
        ({"contact": "Carla"}, "/contact", "valid integer"),
        ({"contact": 10**30}, "/contact", "9223372036854775807"),
        ({"contact": 999}, "/contact", "There is no Contact 999."),
        ({"id": 5}, "/id", "cannot be written"),
        ({"display_name": "x"}, "/display_name", "is no field of Ticket"),
        ({"steps": [{"hours": 1}]}, "/steps/0/name", "is missing"),
        ({"steps": [{"name": "x", "ticket": 1}]}, "/steps/0/ticket", "is filled in"),
        ({"steps": {"remove": ["x"]}}, "/steps/remove/0", "the id of a record"),
        ({"steps": "x"}, "/steps", "must be a list of lines"),
    ],
)
async def test_a_fault_is_told_with_its_place(
    ann: httpx2.AsyncClient, world: World, values: dict[str, Any], pointer: str, words: str
) -> None:
    answer = await ann.patch(f"/api/records/Ticket/{world.ticket.id}", json=values)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), answer.text
    assert words in faults_of(answer)[pointer]


async def test_all_faults_are_told_at_once(ann: httpx2.AsyncClient) -> None:
    answer = await ann.post("/api/records/Ticket", json={"stage": 1, "amount": "x"})
    assert faults_of(answer).keys() == {"/stage", "/amount", "/name"}


async def test_a_stranger_is_no_relation(ann: httpx2.AsyncClient, world: World) -> None:
    theirs = await get_model("Contact").create(name="Theirs", company=world.other_company)
    answer = await ann.post("/api/records/Ticket", json={"name": "x", "contact": theirs.id})
    assert faults_of(answer) == {"/contact": f"There is no Contact {theirs.id}."}
    answer = await ann.patch(f"/api/records/Ticket/{world.ticket.id}", json={"company": world.other_company.id})
    assert answer.status_code in (403, 422)
    await world.ticket.refresh_from_db()
    assert world.ticket.company_id == world.company.id


async def test_a_secret_is_written_and_never_read(ann: httpx2.AsyncClient, world: World) -> None:
    path = f"/api/records/Ticket/{world.ticket.id}"
    before = (await ann.get(path)).headers["etag"]
    changed = await ann.patch(path, json={"secret": "open sesame"})
    assert changed.status_code == 200
    assert "sesame" not in changed.text
    assert changed.headers["etag"] != before
    assert (await get_model("Ticket").get(id=world.ticket.id)).secret == "open sesame"


async def test_lines_are_written_with_their_record(ann: httpx2.AsyncClient) -> None:
    made = await ann.post("/api/records/Ticket", json={"name": "x", "steps": [{"name": "Saw"}, {"name": "Glue"}]})
    path, (saw, glue) = made.headers["location"], made.json()["steps"]
    changed = await ann.patch(path, json={"steps": [{"id": glue["id"], "hours": "2.5"}, {"name": "Polish"}]})
    steps = changed.json()["steps"]
    assert [(one["name"], one["hours"]) for one in steps] == [("Glue", "2.50"), ("Polish", "1.00")]
    patch = {"add": [{"name": "Pack"}], "update": [{"id": glue["id"], "name": "Glue it"}], "remove": [steps[1]["id"]]}
    changed = await ann.patch(path, json={"steps": patch})
    assert [one["name"] for one in changed.json()["steps"]] == ["Glue it", "Pack"]
    assert not await get_model("Step").exists(id=saw["id"])
    other = await ann.post("/api/records/Ticket", json={"name": "y"})
    answer = await ann.patch(other.headers["location"], json={"steps": [{"id": glue["id"], "name": "Stolen"}]})
    assert faults_of(answer) == {"/steps/0/id": "is no line of this Ticket"}


async def test_links_come_and_go(address: str, world: World) -> None:
    user = await get_model("User").get(login="ann")
    groups = [await get_model("Group").create(identifier=name, name=name) for name in ("a", "b", "c")]
    a, b, c = (group.id for group in groups)
    async with program_of(address, "root", "read", "write", "admin") as root:
        path = f"/api/records/User/{user.id}"
        for change, expected in (
            ({"set": [a, b]}, {a, b}),
            ({"add": [c], "remove": [a]}, {b, c}),
            ([a], {a}),
            ([], set()),
        ):
            changed = await root.patch(path, json={"groups": change})
            assert {one["id"] for one in changed.json()["groups"]} == expected, change
        answer = await root.patch(path, json={"groups": {"add": [999]}})
        assert faults_of(answer) == {"/groups": "There is no Group 999."}


async def test_a_clash_names_its_field(address: str, world: World) -> None:
    async with program_of(address, "root", "read", "write", "admin") as root:
        answer = await root.post("/api/records/Group", json={"identifier": "agent", "name": "Again"})
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert faults_of(answer).keys() == {"/identifier"}


async def test_the_reader_says_which_version_it_has(ann: httpx2.AsyncClient, world: World) -> None:
    path = f"/api/records/Ticket/{world.ticket.id}"
    tag = (await ann.get(path)).headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        answer = await ann.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.headers["etag"], answer.content) == (304, tag, b"")
    assert (await ann.get(path, headers={"If-None-Match": '"other"'})).status_code == 200
    await get_model("Step").create(name="Glue", ticket=world.ticket)
    assert (await ann.get(path, headers={"If-None-Match": tag})).status_code == 200, "its lines are others"


async def test_a_stale_writer_is_refused(ann: httpx2.AsyncClient, world: World) -> None:
    path = f"/api/records/Ticket/{world.ticket.id}"
    tag = (await ann.get(path)).headers["etag"]
    for wrong in ('"other"', f"W/{tag}", "nonsense"):
        answer = await ann.patch(path, json={"name": "x"}, headers={"If-Match": wrong})
        assert (answer.status_code, answer.headers["etag"], answer.json()["code"]) == (412, tag, "stale")
    changed = await ann.patch(path, json={"name": "Chair"}, headers={"If-Match": f'"other", {tag}'})
    assert changed.status_code == 200
    assert (await ann.delete(path, headers={"If-Match": tag})).status_code == 412
    assert (await ann.patch(path, json={"name": "y"}, headers={"If-Match": "*"})).status_code == 200
    assert (await ann.patch("/api/records/Ticket/999", json={}, headers={"If-Match": "*"})).status_code == 404


async def test_of_two_writers_one_wins(ann: httpx2.AsyncClient, world: World) -> None:
    path = f"/api/records/Ticket/{world.ticket.id}"
    for number in range(5):
        tag = (await ann.get(path)).headers["etag"]
        answers = await asyncio.gather(
            *(ann.patch(path, json={"name": f"{number}{who}"}, headers={"If-Match": tag}) for who in "abc")
        )
        assert sorted(one.status_code for one in answers) == [200, 412, 412]
        (won,) = (one.json()["name"] for one in answers if one.status_code == 200)
        assert (await ann.get(path)).json()["name"] == won


async def test_pages_are_stable_while_records_come(ann: httpx2.AsyncClient, world: World) -> None:
    tickets = get_model("Ticket")
    for number in range(7):
        await tickets.create(name=f"Num{number}", amount=number % 3, company=world.company)
    question: dict[str, Any] = {"order": ["amount", "-name"], "limit": 2, "fields": ["name"], "q": "num"}
    seen: list[str] = []
    while True:
        page = (await ann.post("/api/records/Ticket/query", json=question)).json()
        seen += [one["name"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        question["cursor"] = page["next_cursor"]
        await tickets.create(name=f"Num before {len(seen)}", amount=0, company=world.company)
    old = [name for name in seen if "before" not in name]
    assert old == [f"Num{number}" for number in (6, 3, 0, 4, 1, 5, 2)]
    assert len(set(seen)) == len(seen)


async def test_what_is_empty_comes_last(ann: httpx2.AsyncClient, world: World) -> None:
    await get_model("Ticket").create(name="No contact", company=world.company)
    for order, names in ((["contact"], ["Broken chair", "No contact"]), (["-contact"], ["Broken chair", "No contact"])):
        seen, cursor = [], None
        for _ in range(2):
            question = {"order": order, "limit": 1, "cursor": cursor}
            page = (await ann.post("/api/records/Ticket/query", json=question)).json()
            seen += [one["name"] for one in page["items"]]
            cursor = page["next_cursor"]
        assert (seen, cursor) == (names, None)


async def test_related_fields_come_along(ann: httpx2.AsyncClient, world: World) -> None:
    await get_model("Step").create(name="Saw", price=3, ticket=world.ticket)
    fields = ["name", "contact.name", "contact.tickets.name", "steps.price", "company"]
    answer = await ann.post("/api/records/Ticket/query", json={"fields": fields, "filter": {
        "field": "contact.name", "op": "starts_with", "value": "carla"}, "count": True})  # fmt: skip
    page = answer.json()
    assert page["count"] == 1
    assert page["items"] == [{
        "id": world.ticket.id,
        "name": "Broken chair",
        "contact": {"id": world.contact.id, "name": "Carla Customer", "tickets": [
            {"id": world.ticket.id, "name": "Broken chair"}]},
        "steps": [{"id": 1, "price": "3.00"}],
        "company": {"id": world.company.id, "display_name": "Ours"},
    }]  # fmt: skip
    listed = (await ann.get("/api/records/Ticket?fields=name,contact.name&order=-name&count=true")).json()
    assert listed["items"][0]["contact"] == {"id": world.contact.id, "name": "Carla Customer"}


async def test_a_relative_that_is_none_of_theirs_is_left_out(ann: httpx2.AsyncClient, world: World) -> None:
    theirs = await get_model("Contact").create(name="Hidden", company=world.other_company)
    await get_model("Ticket").filter(id=world.ticket.id).update(contact_id=theirs.id)
    answer = await ann.get(f"/api/records/Ticket/{world.ticket.id}?fields=contact.name")
    assert answer.json() == {"id": world.ticket.id, "contact": None}


@pytest.mark.parametrize(
    ("question", "pointer"),
    [
        ({"order": ["nope"]}, "/order/0"),
        ({"order": ["description; DROP TABLE ticket"]}, "/order/0"),
        ({"order": ["steps"]}, "/order/0"),
        ({"fields": ["nope"]}, "/fields/0"),
        ({"fields": ["name.x"]}, "/fields/0"),
        ({"fields": ["contact.nope"]}, "/fields/0"),
        ({"fields": ["contact.tickets.contact.tickets.name"]}, "/fields/0"),
        ({"cursor": "nonsense"}, "/cursor"),
        ({"limit": 201}, "/limit"),
        ({"limit": 0}, "/limit"),
        ({"limit": 1001, "fields": ["name"]}, "/limit"),
        ({"nope": 1}, "/nope"),
    ],
)
async def test_a_question_that_cannot_be_asked(ann: httpx2.AsyncClient, question: dict[str, Any], pointer: str) -> None:
    answer = await ann.post("/api/records/Ticket/query", json=question)
    assert answer.status_code == 422, answer.text
    assert pointer in faults_of(answer)


async def test_a_cursor_is_for_its_own_question(ann: httpx2.AsyncClient, world: World) -> None:
    await get_model("Ticket").create(name="Two", company=world.company)
    cursor = (await ann.post("/api/records/Ticket/query", json={"limit": 1})).json()["next_cursor"]
    for other in ({"order": ["name"]}, {"q": "x"}, {"filter": {}}):
        answer = await ann.post("/api/records/Ticket/query", json={"limit": 1, "cursor": cursor, **other})
        assert "/cursor" in faults_of(answer)
    # The last character has bits that mean nothing.
    forged = cursor[:-2] + ("A" if cursor[-2] != "A" else "B") + cursor[-1]
    assert (await ann.get(f"/api/records/Ticket?limit=1&cursor={forged}")).status_code == 422


async def test_figures_by_groups(ann: httpx2.AsyncClient, world: World) -> None:
    tickets = get_model("Ticket")
    for stage, amount in (("done", "10.10"), ("done", "0.20"), ("new", "5")):
        await tickets.create(name="T", stage=stage, amount=amount, company=world.company, contact=world.contact)
    answer = await ann.post("/api/records/Ticket/aggregate", json={
        "filter": {"field": "name", "op": "eq", "value": "T"},
        "group_by": ["stage"],
        "figures": {"n": "count", "sum": "sum:amount", "mean": "avg:amount", "most": "max:amount",
                    "people": "count_distinct:contact"},
        "order": ["-sum"],
    })  # fmt: skip
    assert answer.json() == {
        "groups": [
            {"by": {"stage": "done"},
             "values": {"n": 2, "sum": "10.30", "mean": "5.150000", "most": "10.10", "people": 1}},
            {"by": {"stage": "new"},
             "values": {"n": 1, "sum": "5.00", "mean": "5.000000", "most": "5.00", "people": 1}},
        ],
        "has_more": False,
    }, answer.text  # fmt: skip
    by_contact = await ann.post("/api/records/Ticket/aggregate", json={"group_by": ["contact"], "limit": 1})
    carla = {"id": world.contact.id, "display_name": "Carla Customer"}
    assert by_contact.json()["groups"][0] == {"by": {"contact": carla}, "values": {"count": 4}}
    whole = await ann.post("/api/records/Ticket/aggregate", json={"figures": {"n": "count"}})
    assert whole.json()["groups"] == [{"by": {}, "values": {"n": 4}}], "those of other companies are not counted"


async def test_times_are_grouped_by_what_they_lie_in(ann: httpx2.AsyncClient, world: World) -> None:
    contacts = get_model("Contact")
    for at in ((2026, 1, 4, 23, 30), (2026, 1, 5, 0, 30), (2025, 12, 31, 12, 0)):
        made = await contacts.create(name="Timely", company=world.company)
        await contacts.filter(id=made.id).update(created_at=datetime(*at, tzinfo=UTC))
    for unit, expected in (
        ("day", {"2025-12-31": 1, "2026-01-04": 1, "2026-01-05": 1}),
        ("week", {"2025-12-29": 2, "2026-01-05": 1}),
        ("month", {"2025-12-01": 1, "2026-01-01": 2}),
        ("year", {"2025-01-01": 1, "2026-01-01": 2}),
    ):
        asked = {"filter": {"field": "name", "op": "eq", "value": "Timely"}, "group_by": [f"created_at:{unit}"]}
        groups = (await ann.post("/api/records/Contact/aggregate", json=asked)).json()["groups"]
        assert {one["by"][f"created_at:{unit}"]: one["values"]["count"] for one in groups} == expected


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"group_by": ["nope"]}, "/group_by/0"),
        ({"group_by": ["name:month"]}, "/group_by/0"),
        ({"group_by": ["steps"]}, "/group_by/0"),
        ({"figures": {"x": "sum:name"}}, "/figures/x"),
        ({"figures": {"x": "drop:name"}}, "/figures/x"),
        ({"figures": {"x": "sum"}}, "/figures/x"),
        ({"figures": {'x"; DROP': "count"}}, "/figures"),
        ({"order": ["name"]}, "/order/0"),
        ({"limit": 1001}, "/limit"),
    ],
)
async def test_figures_that_cannot_be_had(ann: httpx2.AsyncClient, asked: dict[str, Any], pointer: str) -> None:
    answer = await ann.post("/api/records/Ticket/aggregate", json=asked)
    assert answer.status_code == 422, answer.text
    assert pointer in faults_of(answer)


async def test_many_changes_are_one(ann: httpx2.AsyncClient, world: World) -> None:
    job = {
        "create": [{"name": "A"}, {"name": "B", "steps": [{"name": "Saw"}]}],
        "update": [{"id": world.ticket.id, "stage": "done"}],
    }
    done = (await ann.post("/api/records/Ticket/bulk", json=job)).json()
    a, b = (one["id"] for one in done["create"])
    assert [one["status"] for one in done["create"] + done["update"]] == [201, 201, 200]
    assert await get_model("Tracking").filter(field="stage").count() == 1
    answer = await ann.post("/api/records/Ticket/bulk", json={"delete": [a], "create": [{"name": "C"}, {"name": 5}]})
    assert (answer.status_code, list(faults_of(answer))) == (422, ["/create/1/name"])
    assert await get_model("Ticket").filter(name__in=["A", "C"]).values_list("name", flat=True) == ["A"]
    answer = await ann.post("/api/records/Ticket/bulk", json={"delete": [a, b, world.foreign.id]})
    assert (answer.status_code, list(faults_of(answer))) == (404, ["/delete/2"])
    assert (await ann.post("/api/records/Ticket/bulk", json={"delete": [a, b]})).status_code == 200
    assert not await get_model("Ticket").exists(id__in=[a, b])


async def test_what_can_be_done_is_done(ann: httpx2.AsyncClient, world: World) -> None:
    job = {"create": [{"name": "A"}, {"name": 5}], "delete": [world.foreign.id, world.ticket.id], "partial": True}
    done = (await ann.post("/api/records/Ticket/bulk", json=job)).json()
    assert [one["status"] for one in done["create"]] == [201, 422]
    assert done["create"][1]["problem"]["faults"][0]["pointer"] == "/create/1/name"
    assert [one["status"] for one in done["delete"]] == [404, 204]
    assert await get_model("Ticket").exists(id=world.foreign.id)
    assert not await get_model("Ticket").exists(id=world.ticket.id)


@pytest.mark.parametrize(
    ("job", "pointer"),
    [
        ({"update": [{"name": "x"}]}, "/update/0/id"),
        ({"delete": [1, 1]}, "/delete/1"),
        ({"update": [{"id": 1}], "delete": [1]}, "/delete/0"),
        ({"create": [{"name": "x"}] * 600, "delete": list(range(1, 500))}, ""),
    ],
)
async def test_a_job_that_cannot_be_done(ann: httpx2.AsyncClient, job: dict[str, Any], pointer: str) -> None:
    answer = await ann.post("/api/records/Ticket/bulk", json=job)
    assert answer.status_code == 422
    assert pointer in faults_of(answer)


async def test_a_clash_among_many_says_which(address: str, world: World) -> None:
    job = {"create": [{"identifier": "x", "name": "X"}, {"identifier": "agent", "name": "Again"}]}
    async with program_of(address, "root", "read", "write", "admin") as root:
        answer = await root.post("/api/records/Group/bulk", json=job)
        assert (answer.status_code, list(faults_of(answer))) == (409, ["/create/1/identifier"])
        assert not await get_model("Group").exists(identifier="x")


async def test_messages_and_files_are_not_written_directly(address: str, world: World) -> None:
    async with program_of(address, "root") as root:
        for model in ("Message", "Attachment", "Delivery"):
            assert (await root.post(f"/api/records/{model}/bulk", json={"delete": [1]})).status_code == 403
            assert (await root.get(f"/api/records/{model}")).status_code == 200


async def test_models_describe_themselves(ann: httpx2.AsyncClient) -> None:
    listed = {one["name"]: one for one in (await ann.get("/api/models")).json()["items"]}
    assert listed["Ticket"] == {
        "name": "Ticket", "title": "Tickets", "has_timeline": True, "rights": ["read", "create", "write", "delete"],
    }  # fmt: skip
    assert "User" not in listed
    assert (await ann.get("/api/models/User")).status_code == 403
    told = (await ann.get("/api/models/Ticket")).json()
    fields = {one["name"]: one for one in told["fields"]}
    assert fields["stage"]["choices"] == {"new": "New", "done": "Done"}
    assert (fields["contact"]["type"], fields["contact"]["relation"]) == ("to-one", "Contact")
    assert (fields["steps"]["type"], fields["steps"]["relation"]) == ("lines", "Step")
    assert (fields["secret"]["readable"], fields["secret"]["writable"]) == (False, True)
    assert (fields["name"]["required"], fields["name"]["json_schema"]["maxLength"]) == (True, 200)
    assert fields["id"]["writable"] is False


async def test_there_is_no_record_0(ann: httpx2.AsyncClient) -> None:
    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        assert (await ann.request(method, "/api/records/Ticket/0", json=body)).status_code == 404


@pytest.mark.parametrize("value", [None, "x", 5, {}])
async def test_a_list_in_json_is_a_list(address: str, value: Any) -> None:
    async with program_of(address, "root", "read", "write", "admin") as root:
        server = {"name": "Ours", "server": "mail.example", "from_domains": value}
        assert "/from_domains" in faults_of(await root.post("/api/records/OutgoingMailServer", json=server))
        server = {"name": "Ours", "server": "mail.example", "concurrency": 0}
        answer = await root.post("/api/records/OutgoingMailServer", json=server)
        assert (answer.status_code, answer.json()["detail"]) == (
            422, "concurrency of Ours must be 1 or more; leave it empty for no limit of its own.",
        )  # fmt: skip
