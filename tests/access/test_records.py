"""Which records a right reaches: companies, rules, and what belongs to a record."""

from __future__ import annotations

from typing import Any

import pytest

from core.access import Access, Right, access_of
from core.errors import AccessDenied, UnknownName, UserError
from core.runtime import get_model
from tests.access.conftest import Office, gate, grant, rule
from tests.orm.statements import counted

pytestmark = pytest.mark.anyio

OPEN = {"field": "stage", "op": "eq", "value": "new"}
OWN = {"field": "contact", "op": "eq", "value": "$user.contact"}


async def names(access: Access, model: str = "Ticket", right: Right = Right.READ) -> list[str]:
    found: list[str] = await access.records(model, right).order_by("id").values_list("name", flat=True)
    return list(found)


class TestCompanies:
    async def test_records_of_one_s_companies_and_of_none(self, office: Office) -> None:
        assert await names(await office.access()) == ["Broken chair", "For all"]
        await office.user.companies.add(office.theirs)
        assert await names(await office.access()) == ["Broken chair", "Theirs alone", "For all"]

    async def test_a_user_of_no_company_sees_what_is_of_none(self, office: Office) -> None:
        assert await names(await office.visitor_access()) == ["For all"]
        mail = get_model("InboundEmail")
        await mail.create(source="a", sha256="0", size_bytes=1)
        await grant("InboundEmail", office.portal)
        assert await (await office.visitor_access()).records("InboundEmail").count() == 0

    async def test_parts_are_their_whole_s(self, office: Office) -> None:
        for ticket in (office.ticket, office.foreign):
            await get_model("Step").create(name=f"Of {ticket.name}", ticket=ticket)
        access = await office.access()
        assert await names(access, "Step") == ["Of Broken chair"]
        assert len(await access.records("Step").select_for_update()) == 1


class TestRules:
    async def test_a_rule_of_no_group_holds_for_all_but_administrators(self, office: Office) -> None:
        await rule("Ticket", {"field": "name", "op": "contains", "value": "CHAIR"})
        assert await names(await office.access()) == ["Broken chair"]
        root = await get_model("User").create(login="root", name="Root", is_admin=True)
        assert len(await names(await access_of(root))) == 3

    async def test_one_rule_of_one_s_groups_is_enough_and_others_do_not_matter(self, office: Office) -> None:
        await rule("Ticket", {"field": "name", "op": "eq", "value": "For all"}, office.agents)
        await rule("Ticket", {"field": "stage", "op": "eq", "value": "done"}, office.agents)
        await rule("Ticket", {"field": "name", "op": "eq", "value": "x"}, office.portal)
        assert await names(await office.access()) == ["For all"]
        await get_model("Ticket").filter(id=office.ticket.id).update(stage="done")
        assert await names(await office.access()) == ["Broken chair", "For all"]

    async def test_a_rule_is_for_the_rights_that_it_names(self, office: Office) -> None:
        await rule("Ticket", OWN, can_read=False)
        access = await office.access()
        assert len(await names(access)) == 2
        assert await names(access, right=Right.WRITE) == []

    async def test_names_stand_for_who_asks(self, office: Office) -> None:
        await rule("Ticket", OWN, office.portal)
        await office.visitor.companies.add(office.ours)
        assert await names(await office.visitor_access()) == ["Broken chair"]
        await get_model("User").filter(id=office.visitor.id).update(contact_id=None)
        assert await names(await office.visitor_access()) == []

    async def test_parts_keep_to_the_rules_of_their_whole(self, office: Office) -> None:
        for ticket in (office.ticket, office.shared):
            await get_model("Step").create(name=f"Of {ticket.name}", ticket=ticket)
        await rule("Ticket", {"field": "name", "op": "eq", "value": "For all"}, can_read=False)
        access = await office.access()
        assert len(await names(access, "Step")) == 2
        assert await names(access, "Step", Right.DELETE) == ["Of For all"]

    async def test_a_rule_that_is_switched_off_is_none(self, office: Office) -> None:
        await rule("Ticket", OWN, active=False)
        assert len(await names(await office.access())) == 2

    async def test_a_rule_that_its_model_outgrew_lets_nobody_in(self, office: Office) -> None:
        made = await rule("Ticket", OWN)
        await get_model("RecordRule").filter(id=made.id).update(where={**OWN, "field": "gone"})
        with pytest.raises(AccessDenied, match=r'The rule "Some of Ticket" on Ticket cannot be read.*names "gone"'):
            (await office.access()).records("Ticket")

    @pytest.mark.parametrize(
        ("where", "words"),
        [
            ({**OPEN, "field": "stag"}, 'The filter at /field names "stag", which is no field of Ticket. Did you mean'),
            ({"and": [{**OPEN, "value": "nwe"}]}, "The filter at /and/0/value is none of new, done"),
            ({**OWN, "value": "$user.contct"}, "stands for nothing"),
            ({**OWN, "field": "secret"}, "no field of Ticket"),
            ({"or": []}, "must be a list"),
        ],
    )
    async def test_a_rule_that_does_not_fit_is_not_kept(self, office: Office, where: Any, words: str) -> None:
        with pytest.raises(UserError) as told:
            await rule("Ticket", where)
        assert words in str(told.value)
        assert 'The rule "Some of Ticket" on Ticket cannot be kept: ' in str(told.value)


class TestTimelines:
    async def test_what_hangs_on_a_record_is_counted_with_it_alone(self, office: Office) -> None:
        for ticket in (office.ticket, office.foreign):
            await ticket.post_message(f"<p>{ticket.name}</p>")
            await ticket.post_note("<p>He is a thief</p>")
        access = await office.access()
        assert await access.records("Message").count() == 2
        await rule("Ticket", OWN)
        assert await (await office.access()).records("Message").count() == 0

    async def test_those_outside_count_no_notes_and_no_drafts_of_others(self, office: Office) -> None:
        await office.visitor.companies.add(office.ours)
        await grant("Message", office.portal)
        await office.ticket.post_note("<p>He is a thief</p>")
        await office.ticket.post_message("<p>Hello</p>")
        for author in (office.user, office.visitor):
            about = {"res_model": "Ticket", "res_id": office.ticket.id, "send_state": "Draft"}
            await get_model("Message").create(subject=author.name, author=author, **about)
        access = await office.visitor_access()
        assert set(await access.records("Message").values_list("subject", flat=True)) == {"Broken chair", "Carla"}
        assert await (await office.access()).records("Message").count() == 4

    async def test_files_are_seen_with_what_they_hang_on_and_loose_ones_by_whoever_brought_them(
        self, office: Office
    ) -> None:
        ids = {}
        for name, values in (
            ("ours", {"res_model": "Ticket", "res_id": office.ticket.id}),
            ("theirs", {"res_model": "Ticket", "res_id": office.foreign.id}),
            ("mine", {"created_by": office.user}),
            ("another's", {"created_by": office.visitor}),
            ("in ours", {}),
            ("in theirs", {}),
        ):
            file = await get_model("Attachment").create(name=name, content=b"x", size_bytes=1, sha256="0", **values)
            ids[name] = file
        await office.ticket.post_message("<p>x</p>", attachments=[ids["in ours"]])
        await office.foreign.post_message("<p>x</p>", attachments=[ids["in theirs"]])
        access = await office.access()
        assert await access.records("Attachment").order_by("id").values_list("name", flat=True) == [
            "ours", "mine", "in ours"
        ]  # fmt: skip

    async def test_no_filter_tells_what_is_in_a_note(self, office: Office) -> None:
        await office.ticket.post_note("<p>He is a thief</p>", author=office.user)
        await office.visitor.companies.add(office.ours)
        await grant("Message", office.portal)
        await grant("User", office.portal)
        asked = {"field": "messages.body", "op": "contains", "value": "thief"}
        access = await office.visitor_access()
        assert await access.records("User").filter(access.matching("User", asked)).count() == 0


class TestMatching:
    async def test_relatives_that_one_may_not_read_do_not_match(self, office: Office) -> None:
        hidden = await get_model("Contact").create(name="Zoe", company=office.theirs)
        await get_model("Ticket").filter(id=office.shared.id).update(contact_id=hidden.id)
        access = await office.access()
        for name, found in (("Carla", 1), ("Zoe", 0)):
            where = access.matching("Ticket", {"field": "contact.name", "op": "contains", "value": name})
            assert await access.records("Ticket").filter(where).count() == found

    async def test_a_model_on_the_way_must_be_readable_and_so_must_each_field(self, office: Office) -> None:
        access = await office.visitor_access()
        with pytest.raises(AccessDenied, match="You may not read Contact"):
            access.matching("Ticket", {"field": "contact.name", "op": "eq", "value": "x"})
        await gate("Ticket", "amount", office.portal)
        with pytest.raises(AccessDenied, match=r"You may not read Ticket.amount"):
            (await office.access()).matching("Ticket", {"not": {"field": "amount", "op": "gt", "value": 5}})

    async def test_names_are_plain_texts_to_those_who_ask(self, office: Office) -> None:
        access = await office.access()
        where = access.matching("Ticket", {"field": "name", "op": "eq", "value": "$user.name"})
        assert await access.records("Ticket").filter(where).count() == 0


class TestLoading:
    async def test_it_takes_few_statements_however_many_there_are(self, office: Office) -> None:
        async with counted() as few:
            await office.access()
        for at in range(10):
            group = await get_model("Group").create(identifier=f"g{at}", name=f"G{at}")
            await office.agents.implies.add(group)
            await rule("Ticket", OPEN, group, office.portal)
            await gate("Ticket", "amount", group)
        async with counted() as many:
            access = await office.access()
        assert few.statements == many.statements <= 7
        assert len(access.rules) == 10
        assert access.may_field("Ticket", "amount")

    async def test_finding_tells_what_is_not_there_from_what_is_forbidden(self, office: Office) -> None:
        access = await office.access()
        assert (await access.find("Ticket", office.ticket.id)).name == "Broken chair"
        with pytest.raises(UnknownName):
            await access.find("Ticket", office.foreign.id)
        with pytest.raises(AccessDenied):
            await access.find("User", office.user.id)
