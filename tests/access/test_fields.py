"""Gates before single fields: secrets, what administrators alone write, and rows of FieldAccess."""

from __future__ import annotations

import pytest

from core.access import Right, access_of
from core.errors import AccessDenied, UserError
from core.runtime import get_model
from tests.access.conftest import Office, gate, grant

pytestmark = pytest.mark.anyio

WRITING = (Right.CREATE, Right.WRITE)


async def test_a_secret_is_read_by_nobody_and_written_by_who_may_write(office: Office) -> None:
    root = await access_of(await get_model("User").create(login="root", name="Root", is_admin=True))
    access, visitor = await office.access(), await office.visitor_access()
    for one in (root, access, visitor):
        assert not one.may_field("Ticket", "secret")
    assert all(access.may_field("Ticket", "secret", right) for right in WRITING)
    assert not any(visitor.may_field("Ticket", "secret", right) for right in WRITING)
    assert not root.may_field("User", "password_hash")
    assert root.may_field("User", "password_hash", Right.WRITE)


async def test_nobody_has_a_right_on_a_field_that_is_none(office: Office) -> None:
    root = await access_of(await get_model("User").create(login="root", name="Root", is_admin=True))
    for name in ("nope", "contact__name", "_meta", "", "save"):
        assert not root.may_field("Ticket", name)
        with pytest.raises(AccessDenied):
            (await office.access()).require_field("Ticket", name)


async def test_what_decides_over_rights_is_written_by_administrators_alone(office: Office) -> None:
    rights = {"can_create": True, "can_write": True, "can_delete": True}
    models = ("Group", "ModelAccess", "RecordRule", "FieldAccess")
    for model in (*models, "User"):
        await grant(model, office.agents, **rights)
    access = await office.access()
    for model in models:
        assert access.may(model)
        for right in (Right.CREATE, Right.WRITE, Right.DELETE):
            assert not access.may(model, right)
            assert not access.may_field(model, "id", right)
            with pytest.raises(AccessDenied):
                access.records(model, right)
    assert access.may_field("User", "signature", Right.WRITE)
    for name in ("is_admin", "groups", "login", "active", "password_hash", "company", "company_id", "companies"):
        assert not any(access.may_field("User", name, right) for right in WRITING), name


async def test_a_field_with_a_row_is_for_the_groups_of_its_rows(office: Office) -> None:
    chiefs = await get_model("Group").create(identifier="chief", name="Chief")
    await gate("Ticket", "amount", chiefs, can_write=True)
    await gate("Ticket", "contact", office.agents)
    access = await office.access()
    assert not any(access.may_field("Ticket", "amount", right) for right in (Right.READ, *WRITING))
    for name in ("contact", "contact_id"):
        assert access.may_field("Ticket", name)
        assert not access.may_field("Ticket", name, Right.WRITE)
    assert access.may_field("Ticket", "name", Right.WRITE)
    with pytest.raises(AccessDenied, match=r"You may not write Ticket\.amount\."):
        access.require_field("Ticket", "amount", Right.WRITE)
    await office.user.groups.add(chiefs)
    assert (await office.access()).may_field("Ticket", "amount", Right.WRITE)


@pytest.mark.parametrize("field", ["nmae", "secret", "contact_id", "pk"])
async def test_a_gate_stands_before_a_field_that_is_one(office: Office, field: str) -> None:
    with pytest.raises(UserError, match=f'Ticket has no field "{field}"'):
        await gate("Ticket", field, office.agents)
