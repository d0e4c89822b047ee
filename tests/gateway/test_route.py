"""`EmailRoute`: what it refuses, and routing by call; `policy`: who counts as verified."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import UserError
from core.gateway import spool
from core.gateway.reading import Terms, read
from core.gateway.receive import process
from core.gateway.values import Outcome
from core.mail.authentication import reported
from core.runtime import Runtime, get_model
from tests.gateway.conftest import change_settings, mail

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"target_model": "Tickt"}, 'There is no model "Tickt". Did you mean "Ticket"'),
        ({"target_model": "User"}, "User takes no mail"),
        ({"target_model": "Ledger"}, "Ledger takes no mail"),
        ({"target_name_field": "nme"}, 'no text field "nme". Did you mean "name"'),
        ({"target_name_field": "priority"}, "no text field"),
        ({"defaults": {"company_id": 1}}, '"company_id" is no field of Ticket that a route may set'),
        ({"defaults": {"company": 1}}, "that a route may set"),
        ({"defaults": {"state": "done"}}, "that a route may set"),
        ({"defaults": {"id": 1}}, "that a route may set"),
        ({"defaults": {"secret": "x"}}, "that a route may set"),
        ({"defaults": {"priority": "high"}}, "defaults: "),
        ({"defaults": {"name": "x" * 41}}, "defaults: name"),
        ({"defaults": {"prority": 1}}, 'Did you mean "priority"'),
        ({"defaults": ["priority"]}, "write a mapping"),
        ({"address": "leads@our.test"}, "is no alias"),
        ({"address": "leads+x"}, "is no alias"),
        ({"address": "catchall"}, "replies and bounces"),
    ],
)
async def test_a_route_that_could_never_work_is_refused(host: Runtime, values: dict[str, Any], fault: str) -> None:
    route = get_model("EmailRoute")
    with pytest.raises(UserError, match=fault.replace(".", r"\.")):
        await route.create(**{"address": "leads", "target_model": "Ticket", **values})
    assert await route.all().count() == 0


async def test_an_inactive_route_may_wait_for_its_model(host: Runtime) -> None:
    await get_model("EmailRoute").create(address="later", target_model="NotYet", active=False)


async def test_routing_by_call_creates_the_record_with_its_first_entry(routes: dict[str, Any]) -> None:
    route = get_model("EmailRoute")
    ticket = await route.route_inbound(["nobody", "Leads"], "Bob <bob@x.test>", "By hand", "<p>Words</p>")
    assert (ticket.name, ticket.email, ticket.description) == ("By hand", "bob@x.test", "Words")
    (entry,) = await ticket.timeline()
    assert (entry.body, entry.direction) == ("<p>Words</p>", "Inbound")
    assert await route.route_inbound(["Our Leads <leads@our.test>"], "bob@x.test", "By hand", "") is not None
    assert await route.route_inbound(["nobody@our.test", ""], "bob@x.test", "By hand", "") is None


async def test_a_companys_route_makes_the_companys_records(routes: dict[str, Any]) -> None:
    company = await get_model("Company").create(name="Ours")
    await get_model("EmailRoute").filter(address="leads").update(company_id=company.id)
    ticket = await get_model("EmailRoute").route_inbound(["leads"], "bob@x.test", "For the company", "")
    (entry,) = await ticket.timeline()
    assert ticket.company_id == entry.company_id == company.id


@pytest.mark.parametrize(
    ("results", "outcome"),
    [
        (("mx.our.test; dkim=pass; dmarc=pass header.from=our.test",), Outcome.RECORD),
        (("MX.our.test 1; DMARC=PASS (p=reject)",), Outcome.RECORD),
        (("mx.our.test; dmarc=fail", "mx.our.test; dmarc=pass"), Outcome.UNMATCHED),
        (("evil.test; dmarc=pass", "mx.our.test; dmarc=pass"), Outcome.UNMATCHED),
        (("mx.our.test.evil.test; dmarc=pass",), Outcome.UNMATCHED),
        (("mx.our.test; dkim=fail (; dmarc=pass)",), Outcome.UNMATCHED),
        (("mx.our.test; dmarc=passed",), Outcome.UNMATCHED),
        (('mx.our.test; spf=pass smtp.mailfrom="; dmarc=pass "@evil.test; dmarc=fail',), Outcome.UNMATCHED),
        (('mx.our.test; spf=pass smtp.mailfrom="; dmarc=pass "@evil.test',), Outcome.UNMATCHED),
        (("mx.our.test; spf=fail (of ( ; dmarc=pass (x) ) )",), Outcome.UNMATCHED),
        (('mx.our.test; spf=fail (of " ; dmarc=pass',), Outcome.UNMATCHED),
        (("mx.our.test; dmarc=pass header.from=evil.test",), Outcome.UNMATCHED),
        (("mx.our.test; dmarc=pass header.from=our.test; dmarc=fail",), Outcome.UNMATCHED),
        ((), Outcome.UNMATCHED),
    ],
)
async def test_only_what_our_own_server_says_verifies_a_sender(
    host: Runtime, results: tuple[str, ...], outcome: Outcome
) -> None:
    change_settings(host, TRUSTED_AUTHSERV_ID="mx.our.test")
    employee = await get_model("Contact").create(name="Grace", email="grace@our.test")
    await get_model("User").create(login="grace@our.test", name="Grace", contact=employee)
    await get_model("EmailRoute").create(address="staff", target_model="Ticket", sender_policy="staff")
    headers = "".join(f"Authentication-Results: {one}\r\n" for one in results).encode()
    spool_id = await spool.store(headers + mail("Staff", to="staff@our.test", sender="grace@our.test"), "test:1")
    assert spool_id is not None
    (account,) = await process([spool_id])
    assert account.outcome is outcome


@pytest.mark.parametrize(
    "authors",
    [b"From: grace@our.test\r\nFrom: eve@evil.test\r\n", b"From: grace@our.test, eve@evil.test\r\n"],
)
def test_i5_of_two_authors_nobody_knows_which_one_was_verified(authors: bytes) -> None:
    results = b"Authentication-Results: mx.our.test; dmarc=pass\r\n"
    email = read(results + authors + b"To: staff@our.test\r\n\r\nHi", "test:1", Terms(frozenset(), 50))
    assert email.sender == "grace@our.test"
    found = reported(email.parsed, "mx.our.test")
    assert found is not None
    assert not found.is_verified


@pytest.mark.parametrize("domain", ["", "our.test"])
async def test_an_alias_leads_to_one_model_alone(routes: dict[str, Any], domain: str) -> None:
    route = get_model("EmailRoute")
    with pytest.raises(UserError, match=r"leads@our\.test creates a Ticket already"):
        await route.create(address="LEADS", domain=domain, target_model="Order", target_name_field="title")
    await route.create(address="leads", domain="other.test", target_model="Ticket")
    await routes["leads"].save()
    routes["leads"].active = False
    await routes["leads"].save()
    await route.create(address="leads", domain=domain, target_model="Order", target_name_field="title")
