"""What the access matrix asks about: two companies, people of each circle, and one record of company A for every path.

Whatever company A's people wrote holds `OURS`, and what only administrators may see holds `HOSTS`; so a leak shows
wherever it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from fastapi import Response

from core import clock
from core.gateway.load import bring_in
from core.runtime import get_model
from core.web.session import COOKIE, open_session, write_session

OURS = "marzipan-of-company-a"
HOSTS = "quince-of-the-host"


@dataclass(frozen=True, slots=True)
class World:
    """`people` are the headers that each sends; `values` fill the paths' parameters."""

    people: Mapping[str, Mapping[str, str]]
    values: Mapping[str, str]


async def make_world() -> World:
    """Make it in a host with all addons, whose records were shipped."""
    ours = await get_model("Company").create(name="Ours Ltd")
    theirs = await get_model("Company").create(name="Theirs Ltd")
    people = {
        "portal": await _user("portal", ours, "portal"),
        "user": await _user("user", ours, "user"),
        "other": await _user("other", theirs, "user"),
        "admin": await _user("admin", ours, is_admin=True),
    }
    headers = {name: await _session(user) for name, user in people.items()}
    user = people["user"]
    token, text = await get_model("ApiToken").issue(user, f"{OURS} reader", ["read"])
    headers["reader"] = {"Authorization": f"Bearer {text}"}
    revoked, text = await get_model("ApiToken").issue(user, "revoked", ["read", "write", "mail"])
    await revoked.revoke()
    headers["revoked token"] = {"Authorization": f"Bearer {text}"}
    headers["anonymous"] = {}
    values = await _records(user, ours)
    values |= await _of_the_host()
    values["token_id"] = token.pk
    values["session_id"] = (await get_model("UserSession").filter(user=user).first()).pk
    later = clock.now() + timedelta(days=1)  # So that no request notes that it was seen.
    await get_model("UserSession").all().update(last_seen_at=later)
    await get_model("ApiToken").all().update(last_used_at=later)
    return World(headers, {name: str(value) for name, value in values.items()})


async def _user(login: str, company: Any, group: str = "", *, is_admin: bool = False) -> Any:
    contact = await get_model("Contact").create(name=login.title(), email=f"{login}@people.test", company=company)
    user = await get_model("User").create(
        login=f"{login}@people.test", name=login.title(), contact=contact, company=company, is_admin=is_admin
    )
    await user.groups.add(*await get_model("Group").filter(identifier=group))
    return user


async def _session(user: Any) -> dict[str, str]:
    session, response = await open_session(user), Response()
    write_session(response, session)
    cookie = response.headers["set-cookie"].partition("=")[2].partition(";")[0].strip('"')
    return {"Cookie": f"{COOKIE}={cookie}", "X-CSRF-Token": session.form_token}


async def _records(user: Any, company: Any) -> dict[str, Any]:
    contact = await get_model("Contact").create(name=f"{OURS} Carla", email="carla@buyer.test", company=company)
    lead = await get_model("CrmLead").create(name=f"{OURS} lead", contact=contact, company=company, user=user)
    await lead.follow(contact)
    activity = await lead.schedule_activity("Call", date(2030, 1, 1), summary=OURS, assignee=user)
    own = {"res_model": "CrmLead", "res_id": lead.pk, "created_by": user}
    file = await get_model("Attachment").keep(f"{OURS}.txt", OURS.encode(), **own)
    message = await lead.post_message(f"<p>{OURS}</p>", subject=OURS, author=user, attachments=[file])
    signature = await get_model("EmailSignature").create(user=user, name=OURS, html=f"<p>{OURS}</p>")
    upload = await get_model("Upload").create(
        name=OURS, size_bytes=9, created_by=user, expires_at=clock.now() + timedelta(days=1)
    )
    team = await get_model("Team").create(name="Office", type="mail")
    await team.members.add(user)
    server = await get_model("OutgoingMailServer").create(
        name=f"{OURS} server", server="127.0.0.1", port=1, use_ssl=False, company=company, from_domains=["ours.test"]
    )
    of_list = await get_model("MailingList").create(name=f"{OURS} list", company=company)
    await get_model("MailingSubscription").subscribe(of_list, [("carla@buyer.test", f"{OURS} Carla")])
    campaign = await get_model("Campaign").create(
        name=OURS, mailing_list=of_list, subject=OURS, body=f"<p>{OURS}</p>", company=company, user=user
    )
    account = await get_model("MailAccount").create(team=team, account="office", mail_from="office@ours.test")
    return {
        "account": account.account,
        "smtp": server.pk,
        "model": "CrmLead",
        "record_id": lead.pk,
        "rid": lead.pk,
        "tid": (await get_model("ModelRegistry").get(identifier="CrmLead")).pk,
        "contact_id": contact.pk,
        "list_id": of_list.pk,
        "campaign_id": campaign.pk,
        "activity_id": activity.pk,
        "attachment_id": file.pk,
        "uuid": file.uuid,
        "upload": upload.uuid,
        "message_id": message.pk,
        "signature_id": signature.pk,
        "identifier": "lead_acknowledgement",
        "channel": "sms",
        "change": "follow",
        "action": "cancel",
        "method": "discard",
    }


def _mail() -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Ann <ann@buyer.test>", "a@buyer.test", HOSTS
    mail["Message-ID"] = "<1@buyer.test>"
    mail.set_content("Hello")
    mail.add_attachment("a", filename="a.txt")
    return mail.as_bytes(policy=SMTP)


async def _of_the_host() -> dict[str, Any]:
    mail = _mail()
    await bring_in(mail)
    caught = await get_model("CaughtEmail").create(
        sender=f"{HOSTS}@ours.test", recipients=["a@buyer.test"], subject=HOSTS, raw_mail=mail
    )
    case = await get_model("RouteCase").create(name=HOSTS, content=mail, expected_outcome="unmatched")
    outgoing = await get_model("OutgoingMailServer").create(name=HOSTS, server="127.0.0.1", port=1, use_ssl=False)
    incoming = await get_model("IncomingMailServer").create(
        name=HOSTS, protocol="imap", server="127.0.0.1", port=1, username=HOSTS, active=False
    )
    account = await get_model("OAuthAccount").create(
        name=HOSTS, provider="google", username="a@ours.test", client_id="id", client_secret="secret"
    )
    await get_model("Suppression").suppress("gone@buyer.test", reason="manual", note="x")
    hook = await get_model("Webhook").create(name=HOSTS, url="https://hooks.example/x", events=["message.sent"])
    call = await get_model("WebhookCall").create(
        webhook=hook, event_id="evt_1", event="message.sent", payload="{}", state="failed", due_at=clock.now()
    )
    return {
        "inbound_id": (await get_model("InboundEmail").get()).pk,
        "caught_id": caught.pk,
        "index": 0,
        "case_id": case.pk,
        "job_id": (await get_model("CronJob").get(identifier="cron_run_prune")).pk,
        "key": outgoing.pk,
        "server_id": incoming.pk,
        "account_id": account.pk,
        "entry_id": (await get_model("Suppression").all().first()).pk,
        "webhook_id": hook.pk,
        "call_id": call.pk,
        "provider_id": 1,
        "token": "made-up",
        "route_id": (await get_model("EmailRoute").all().first()).pk,
    }
