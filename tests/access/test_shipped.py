"""The rules that core ships."""

from __future__ import annotations

import pytest

from core import clock
from core.access import Right, access_of
from core.errors import UserError
from core.runtime import Runtime, get_model

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings() -> dict[str, object]:
    return {"ADDONS": ["core"]}


@pytest.fixture
def seeds() -> str:
    return "data"


async def test_news_are_one_s_own(host: Runtime) -> None:
    message = await get_model("Message").create(subject="x")
    for login in ("ann", "bob"):
        user = await get_model("User").create(login=login, name=login)
        await user.groups.add(await get_model("Group").get(identifier="user"))
        await get_model("Notification").create(message=message, user=user)
    access = await access_of(await get_model("User").get(login="ann"))
    assert await access.records("Notification").values_list("user__login", flat=True) == ["ann"]


async def test_the_portal_sees_itself_and_its_organisation(host: Runtime) -> None:
    works, ada, other = [await get_model("Contact").create(name=name) for name in ("Works", "Ada", "Other")]
    ada.parent = works
    await ada.save()
    user = await get_model("User").create(login="ada", name="Ada", contact=ada)
    await user.groups.add(await get_model("Group").get(identifier="portal"))
    access = await access_of(user)
    assert not access.is_internal
    assert set(await access.records("Contact").values_list("name", flat=True)) == {"Works", "Ada"}
    assert other.name not in [one.name for one in await access.records("Contact")]
    assert sorted(model for model, _ in access.grants) == ["Contact", "Message"]


async def test_a_colleague_s_contact_is_not_for_everybody_to_change(host: Runtime) -> None:
    users = {}
    for login, group in (("ann", "user"), ("bob", "user"), ("gus", "portal"), ("root", "")):
        contact = await get_model("Contact").create(name=login)
        users[login] = await get_model("User").create(
            login=login, name=login, contact=contact, is_admin=login == "root"
        )
        await users[login].groups.add(*await get_model("Group").filter(identifier=group))
    await get_model("Contact").create(name="Customer")
    for login, names in (("ann", {"ann", "gus", "Customer"}), ("root", {"ann", "bob", "gus", "root", "Customer"})):
        access = await access_of(users[login])
        assert set(await access.records("Contact").values_list("name", flat=True)) >= {"bob", "root"}
        assert set(await access.records("Contact", Right.WRITE).values_list("name", flat=True)) - {"System"} == names


async def test_a_blind_copy_is_for_its_sender(host: Runtime) -> None:
    group = await get_model("Group").get(identifier="admin")
    ann, gad = [await get_model("User").create(login=login, name=login) for login in ("ann", "gad")]
    for user in (ann, gad):
        await user.groups.add(group)
    message = await get_model("Message").create(subject="x", author=ann)
    for kind in ("to", "bcc"):
        of_copy = {"recipient": f"{kind}@example.org", "key": kind, "provider": "x"}
        copy = await get_model("Delivery").create(
            message=message, recipient=of_copy["recipient"], kind=kind, due_at=clock.now()
        )
        await get_model("MailEvent").create(delivery=copy, kind="bounced", **of_copy)
        await get_model("Attempt").create(delivery=copy, at=clock.now(), outcome="failed", phase="rcpt", reply=kind)
    for user, kinds in ((ann, ["to", "bcc"]), (gad, ["to"])):
        access = await access_of(user)
        addresses = [f"{kind}@example.org" for kind in kinds]
        for model in ("Delivery", "MailEvent"):
            rows = access.records(model).order_by("id")
            assert await rows.values_list("recipient", flat=True) == addresses, model
        assert await access.records("Attempt").order_by("id").values_list("reply", flat=True) == kinds


async def test_what_the_host_says_is_for_its_administrators(host: Runtime) -> None:
    ann = await get_model("User").create(login="ann", name="Ann")
    await ann.groups.add(await get_model("Group").get(identifier="user"))
    root = await get_model("User").create(login="root", name="Root", is_admin=True)
    await get_model("Notification").tell_admins("The server is paused", "smtp.inside.example said: 535 no")
    await get_model("Message").create(kind="system", direction="Outbound", subject="Your new password")
    mail = await get_model("Message").create(subject="Offer", author=ann)
    await get_model("Message").create(kind="system", subject="Not delivered: Offer", parent=mail)
    subjects = (await access_of(ann)).records("Message").order_by("id").values_list("subject", flat=True)
    assert await subjects == ["Offer", "Not delivered: Offer"]
    assert await (await access_of(root)).records("Message").filter(kind="system").count() == 3


async def test_the_group_of_administrators_changes_its_own_company_and_no_administrator(host: Runtime) -> None:
    ours, theirs = [await get_model("Company").create(name=name) for name in ("Ours", "Theirs")]
    gad, root = [
        await get_model("User").create(login=login, name=login, company=ours, is_admin=login == "root")
        for login in ("gad", "root")
    ]
    await gad.groups.add(await get_model("Group").get(identifier="admin"))
    access = await access_of(gad)
    for right in (Right.WRITE, Right.DELETE):
        assert await access.records("Company", right).values_list("id", flat=True) == [ours.id]
        assert await access.records("User", right).values_list("id", flat=True) == [gad.id]
    assert {theirs.id, ours.id} <= set(await access.records("Company").values_list("id", flat=True))
    assert root.id in await access.records("User").values_list("id", flat=True)


async def test_no_company_leaves_its_records_to_everybody(host: Runtime) -> None:
    theirs = await get_model("Company").create(name="Theirs")
    contact = await get_model("Contact").create(name="Their customer", company=theirs)
    with pytest.raises(UserError, match="Theirs still has records of Contact"):
        await theirs.delete()
    await contact.delete()
    await theirs.delete()
    assert not await get_model("Company").exists(name="Theirs")


async def test_w14_blind_copies_in_storage_are_written_and_never_shown_to_the_team(host: Runtime) -> None:
    ann = await get_model("User").create(login="ann", name="Ann")
    await ann.groups.add(await get_model("Group").get(identifier="user"))
    access = await access_of(ann)
    allowed = [access.may_field("Mail", "mail_bcc", right) for right in (Right.READ, Right.CREATE, Right.WRITE)]
    assert allowed == [False, True, True]
    assert access.may_field("Mail", "mail_cc", Right.READ)
