from __future__ import annotations

import pytest

from core.audit import MASK, audit
from core.errors import AccessDenied
from core.models.audited import changes_of
from core.orm.fields import SecretField
from core.orm.transaction import rehearsal
from core.runtime import Caller, Runtime, acting_as, called_by, get_model

pytestmark = pytest.mark.anyio


async def entries() -> list[tuple[str, str, object]]:
    rows = await get_model("AuditEntry").all().order_by("id")
    return [(row.action, f"{row.model}:{row.record_id}" if row.model else "", row.detail) for row in rows]


async def test_an_entry_says_who_where_and_in_which_request(host: Runtime) -> None:
    user = await get_model("User").create(login="ann@desk.example", name="Ann")
    with acting_as(user), called_by(Caller("r-1", "192.0.2.7", "pr_1", "")):
        await audit("mail_downloaded", user, size_bytes=12)
    entry = await get_model("AuditEntry").get(action="mail_downloaded")
    assert (entry.user_id, entry.login, entry.token) == (user.id, "ann@desk.example", "pr_1")
    assert (entry.request_id, entry.address, entry.record_name) == ("r-1", "192.0.2.7", "Ann")
    assert entry.detail == {"size_bytes": 12}


async def test_what_somebody_does_to_an_administrative_record_is_written(host: Runtime) -> None:
    root = await get_model("User").create(login="root@desk.example", name="Root", is_admin=True)
    with acting_as(root):
        server = await get_model("OutgoingMailServer").create(name="Post", server="mail.example", password="first-one")
        server.server, server.password = "mx.example", "second-one"
        await server.save()
        await server.save()
        await server.delete()
    of_it = f"OutgoingMailServer:{server.id}"
    changes = {"server": ["mail.example", "mx.example"], "password": MASK}
    assert await entries() == [
        ("created", of_it, {}),
        ("updated", of_it, {"changes": changes}),
        ("deleted", of_it, {}),
    ]
    assert "-one" not in str(await get_model("AuditEntry").all().values())


async def test_what_the_host_does_by_itself_is_not(host: Runtime) -> None:
    group = await get_model("Group").create(identifier="desk", name="Desk")
    group.name = "Desks"
    await group.save()
    assert await entries() == []
    with called_by(Caller(command="group rename")):
        group.name = "Desk"
        await group.save()
    assert await entries() == [("updated", f"Group:{group.id}", {"changes": {"name": ["Desks", "Desk"]}})]


async def test_an_entry_goes_with_what_it_tells(host: Runtime) -> None:
    with called_by(Caller(command="x")):
        async with rehearsal():
            await get_model("Group").create(identifier="desk", name="Desk")
            await audit("looked")
            assert len(await entries()) == 2
    assert await entries() == []


async def test_entries_are_only_added(host: Runtime) -> None:
    await audit("looked")
    entry = await get_model("AuditEntry").get()
    entry.action = "nothing"
    with pytest.raises(AccessDenied):
        await entry.save()
    with pytest.raises(AccessDenied):
        await entry.delete()
    with pytest.raises(AccessDenied):
        get_model("AuditEntry").filter(id=entry.id).update(action="nothing")
    with pytest.raises(AccessDenied):
        get_model("AuditEntry").all().delete()
    assert await entries() == [("looked", "", {})]


async def test_old_entries_are_pruned_and_no_others(host: Runtime) -> None:
    await audit("old")
    await audit("new")
    await host.database.execute("UPDATE audit_entry SET at = '2020-01-01 00:00:00+00:00' WHERE action = 'old'")
    assert await get_model("AuditEntry").cron_prune() == 1
    assert [action for action, _, _ in await entries()] == ["new"]


async def test_no_secret_lands_in_the_log_whoever_passes_it(host: Runtime) -> None:
    secret = "hunter2-hunter2"
    named = {"password": secret, "api_token": secret, "Authorization": secret, "secret_key": [secret]}
    await audit("tried", **named, deep={"inner": [{"webhook_secret": secret}]}, long="x" * 5000, line="a\nb\x00c")
    ((_, _, detail),) = await entries()
    assert secret not in str(detail)
    assert isinstance(detail, dict)
    assert len(detail["long"]) == 200
    assert detail["line"] == "a b c"


async def test_an_entry_outlives_its_user(host: Runtime) -> None:
    user = await get_model("User").create(login="gone@desk.example", name="Gone")
    with acting_as(user):
        await audit("looked")
    await user.delete()
    entry = await get_model("AuditEntry").get(action="looked")
    assert (entry.user_id, entry.login) == (None, "gone@desk.example")


async def test_no_secret_of_any_model_is_told(host: Runtime) -> None:
    canary, told = "canary-7f3a", []
    for entry in host.registry:
        if not hasattr(entry.model, "audited_as"):
            continue
        before, after = entry.model(), entry.model()
        columns = entry.model._meta.fields_map
        secret = [name for name, column in columns.items() if isinstance(column, SecretField)]
        for name in (*secret, *(one for one in getattr(entry.model, "_private", ()) if one in columns)):
            setattr(after, name, canary)
            told.append(f"{entry.name}.{name}")
        await audit("updated", changes=changes_of(before, after))
    assert {"User.password_hash", "OutgoingMailServer.password"} <= set(told)
    assert canary not in str(await get_model("AuditEntry").all().values())
