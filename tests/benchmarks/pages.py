"""Pages of lists and timelines over 1,000 records and 100,000 messages: the time that the database takes for one.

PostgreSQL itself says what it takes to plan and carry out each statement of a page (EXPLAIN ANALYZE); of SQLite, which
is in this process, it is the time from a statement's handing over to its rows. What the application does beside that is
in the second figure. A page is asked for as a user, with its rights and rules.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from time import perf_counter
from typing import Any

from core.access import Access, access_of
from core.runtime import Runtime, get_model, runtime
from core.web.record_query import Question, find_page
from core.web.record_read import plain_records, wanted_by_default, wanted_fields
from core.web.timeline import timeline_of
from tests.benchmarks.hosts import DATABASES, hosted
from tests.benchmarks.mails import html_of
from tests.benchmarks.measure import Row

_RECORDS, _MESSAGES = 1_000, 100_000
_ASKED = 100
_GOAL = "< 50 ms"
_FIELDS = ("name", "stage", "expected_revenue", "contact.name", "contact.email")
_FILTER = {"and": [
    {"field": "stage", "op": "in", "value": ["new", "qualified"]},
    {"field": "contact.name", "op": "contains", "value": "7"},
]}  # fmt: skip
Page = Callable[[Access, Random], Awaitable[object]]


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    records, messages = (_RECORDS, 5_000) if quick else (_RECORDS, _MESSAGES)
    for database in DATABASES:
        async with hosted(database, ADDONS=["core", "crm"]) as host:
            access = await _filled(records, messages)
            await _analyse(host)
            for name, page in _PAGES.items():
                in_database, whole = await _asked(access, page)
                yield Row(f"{name}, in the database, p95, {database}", _p95(in_database), "ms", _GOAL)
                yield Row(f"{name}, altogether, p95, {database}", _p95(whole), "ms")


async def _list(access: Access, _random: Random) -> object:
    return await _page(access, Question("CrmLead", 50))


async def _by_amount(access: Access, _random: Random) -> object:
    """The first page in an order of its own, and the one behind it."""
    first = await find_page(access, Question("CrmLead", 50, order=("-expected_revenue",)))
    return await _page(access, Question("CrmLead", 50, order=("-expected_revenue",), cursor=first.next_cursor))


async def _query(access: Access, _random: Random) -> object:
    question = Question("CrmLead", 50, _FILTER, ("-expected_revenue", "name"), counted=True)
    found = await find_page(access, question)
    return await plain_records(access, found.records, wanted_fields(access, get_model("CrmLead"), _FIELDS))


async def _messages(access: Access, random: Random) -> object:
    return await _page(access, Question("Message", 50, before=random.randint(1_000, 100_000)))


async def _timeline(access: Access, random: Random) -> object:
    return await timeline_of(await access.find("CrmLead", random.randint(1, _RECORDS)), access)


async def _long_timeline(access: Access, random: Random) -> object:
    """A page of the one record that has a tenth of all messages."""
    return await timeline_of(await access.find("CrmLead", 1), access, random.randint(1_000, 100_000))


_PAGES: dict[str, Page] = {
    "list": _list,
    "list, two pages by amount": _by_amount,
    "query by related fields, counted": _query,
    "list of messages": _messages,
    "timeline": _timeline,
    "timeline of 10,000": _long_timeline,
}


async def _page(access: Access, question: Question) -> object:
    found = await find_page(access, question)
    return await plain_records(access, found.records, wanted_by_default(access, get_model(question.model)))


async def _asked(access: Access, page: Page) -> tuple[list[float], list[float]]:
    """Return the milliseconds of each page: within the database, and altogether."""
    random = Random(7)
    in_database, whole = [], []
    await page(access, random)
    for _ in range(_ASKED):
        with _noted(runtime().database.client) as statements:
            started = perf_counter()
            await page(access, random)
            whole.append((perf_counter() - started) * 1000)
        in_database.append(await _spent_ms(statements))
    return in_database, whole


def _p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95) - 1]


@dataclass(frozen=True, slots=True)
class _Statement:
    """One statement, and how long its rows were waited for."""

    sql: str
    values: list[Any]
    waited_s: float


async def _spent_ms(statements: list[_Statement]) -> float:
    database = runtime().database
    if database.dialect.name == "sqlite":
        return sum(one.waited_s for one in statements) * 1000
    spent = 0.0
    for one in statements:
        rows = await database.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {one.sql}", one.values)
        ((plan,),) = (json.loads(row["QUERY PLAN"]) for row in rows)
        spent += plan["Planning Time"] + plan["Execution Time"]
    return spent


@contextmanager
def _noted(client: Any) -> Iterator[list[_Statement]]:
    """Collect the statements of a client."""
    noted: list[_Statement] = []

    def noting(method: Any) -> Any:
        async def run(sql: str, values: list[Any] | None = None) -> Any:
            started = perf_counter()
            rows = await method(sql, values)
            noted.append(_Statement(sql, list(values or ()), perf_counter() - started))
            return rows

        return run

    names = ("execute_query", "execute_query_dict")
    for name in names:
        setattr(client, name, noting(getattr(client, name)))
    try:
        yield noted
    finally:
        for name in names:
            delattr(client, name)


async def _filled(records: int, messages: int) -> Access:
    """Store leads, and messages with recipients, a tenth of them on the first lead; return what a user may do."""
    company = await get_model("Company").create(name="Ours")
    user = await _user(company)
    contacts, leads = get_model("Contact"), get_model("CrmLead")
    await contacts.bulk_create(
        [contacts(name=f"Contact {n}", email=f"c{n}@customer.test", company=company) for n in range(records)]
    )
    first = (await contacts.filter(name="Contact 0").get()).pk
    stages = ("new", "qualified", "won", "lost")
    some = [{"name": f"Lead {n}", "contact_id": first + n, "expected_revenue": n * 37 % 9_000} for n in range(records)]
    await leads.bulk_create([leads(**one, stage=stages[n % 4], company=company) for n, one in enumerate(some)])
    ids = await leads.all().order_by("id").values_list("id", flat=True)
    for start in range(0, messages, 5_000):
        await _store_messages(
            [ids[0] if n % 10 == 0 else ids[n % records] for n in range(start, start + 5_000)], company
        )
    return await access_of(user)


async def _user(company: Any) -> Any:
    """Somebody with rights on what is asked for, and none of an administrator's."""
    group = await get_model("Group").create(identifier="user", name="User")
    for name in ("CrmLead", "Contact", "Message", "Company"):
        model = await get_model("ModelRegistry").get(identifier=name)
        await get_model("ModelAccess").create(model=model, group=group, can_read=True)
    user = await get_model("User").create(login="kim", name="Kim", company=company)
    await user.groups.add(group)
    return user


async def _store_messages(of_leads: list[int], company: Any) -> None:
    messages, deliveries = get_model("Message"), get_model("Delivery")
    body, now = html_of(2_000), datetime.now(UTC)
    newest = await messages.all().order_by("-id").first()
    after = newest.pk if newest else 0
    await messages.bulk_create(
        [
            messages(res_model="CrmLead", res_id=lead, subject="News", body=body, company=company, direction="Outbound",
                     send_state="Sent", message_id=f"<{after + n}@bench.test>")
            for n, lead in enumerate(of_leads)
        ],
        batch_size=500,
    )  # fmt: skip
    ids = await messages.filter(id__gt=after).order_by("id").values_list("id", flat=True)
    await deliveries.bulk_create(
        [deliveries(message_id=one, recipient="c@customer.test", state="sent", due_at=now) for one in ids],
        batch_size=500,
    )


async def _analyse(host: Runtime) -> None:
    """Let the database learn how its tables look, as it does by itself after a while."""
    await host.database.script("ANALYZE")
