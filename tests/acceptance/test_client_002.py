"""A client of `reference/002` against the real command, a real SMTP server beside it, on both databases."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.error
import urllib.request
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.client_002 import EmailClient, email2hook, pixel
from tests.acceptance.command import Postroom
from tests.servers.fake_mta import FakeMta
from tests.servers.free_port import free_port

pytestmark = pytest.mark.anyio

SITE = {
    "addon.yaml": 'name: site\ntitle: Site\nversion: "1.0"\ndepends: [crm]\ndata: [data/site.yaml]\n',
    "__init__.py": "",
    "hooks.py": "",
    "data/site.yaml": """
- data_type: OutgoingMailServer
  identifier: site_smtp
  name: smtp@acme.example
  server: 127.0.0.1
  port: {port}
  use_ssl: false
  from_domains: [acme.example]
  from_identities: [{{name: Sales, email: sales@acme.example}}]
- data_type: Contact
  identifier: site_lead
  name: Lea Lead
  email: lead@example.org
- data_type: CrmLead
  identifier: site_crm_lead
  name: Twenty desks
  contact: site_lead
""",
}


async def test_a_client_written_from_the_document(tmp_path: Path, database_url: str) -> None:
    async with FakeMta() as mta:
        await asyncio.to_thread(_serve_and_use, tmp_path, database_url, mta)


def _serve_and_use(folder: Path, database_url: str, mta: FakeMta) -> None:
    for name, text in SITE.items():
        file = folder / "addons" / "site" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.format(port=mta.port) if name.endswith("site.yaml") else text)
    port = free_port()
    site = Postroom(
        folder / "host",
        DATABASE_URL=database_url,
        ADDONS_PATH=[str(folder / "addons")],
        ADDONS=["site"],
        MAIL_MODE="live",
        MAIL_DOMAIN="catch.example",
        NAME_SERVER="off",
        BASE_URL=f"http://127.0.0.1:{port}",
        HTTP_PORT=port,
        CRON_POLL_SECONDS=1,
    )
    site.call("init")
    (folder / "password").write_text("correct horse battery\n")
    for login in ("kim@acme.example", "pat@acme.example"):
        site.call("user", "add", login, "--name", "Kim", "--group", "user", "--password-file", str(folder / "password"))
    with site.running("worker"), site.running("serve") as host:
        _use(host.address(), _token(site, "kim@acme.example"), _token(site, "pat@acme.example"), mta)


def _token(site: Postroom, login: str) -> str:
    scopes = [word for scope in ("read", "write", "mail") for word in ("--scope", scope)]
    return str(site.json("token", "create", login, "--name", "client", *scopes)["token"])


def _use(address: str, token: str, other_token: str, mta: FakeMta) -> None:
    client = EmailClient(address, token)
    table_id = _table_id(client)
    record_id = client.call("GET", "/api/records/CrmLead")["items"][0]["id"]

    (server,) = client.servers()
    assert server["fromDomains"] == ["acme.example"]
    assert server["fromIdentities"] == [{"name": "Sales", "email": "sales@acme.example"}]
    assert server["disablePixel"] is False
    context = client.context(table_id, record_id)
    assert context["emails"] == ["lead@example.org"]
    assert {"id": "name", "name": "Name"} in context["fields"]

    signature = client.create_signature("Office", "<p>Kim<script>alert(1)</script></p>", False)
    assert signature["html"] == "<p>Kim</p>"
    assert client.update_signature(signature["id"], name="Desk")["name"] == "Desk"
    assert [one["id"] for one in client.signatures()] == [signature["id"]]
    stranger = EmailClient(address, other_token)
    assert stranger.signatures() == []
    assert _status(lambda: stranger.update_signature(signature["id"], name="Mine")) == 404

    file = _upload(address, token, table_id, b"%PDF-1.7 brochure")
    assert file["path"].startswith(f"/space-1-table-{table_id}-")
    order: dict[str, Any] = {
        "tableId": table_id,
        "recordId": record_id,
        "smtpIntegrationId": server["id"],
        "fromIdentity": server["fromIdentities"][0],
        "to": context["emails"],
        "cc": [],
        "bcc": ["boss@example.net"],
        "subject": "Welcome {{field:name}}",
        "body": "<p>Hi {{field:contact}},</p>",
        "signatureId": signature["id"],
        "attachments": [
            {"name": "brochure.pdf", "path": file["path"], "type": "application/pdf", "size": 17, "host": address}
        ],
    }
    foreign = order | {"fromIdentity": {"name": "Sales", "email": "sales@other.example"}}
    assert _status(lambda: client.send(**foreign)) == 400
    ordered = client.send(**order)
    assert ordered["status"] == "queued"
    assert ordered["comment"]["id"] == ordered["id"]
    assert ordered["comment"]["type"] == "email_out"

    sent = client.wait(table_id, record_id, "email_out", "sent")
    assert sent["id"] == ordered["id"]
    assert sent["metadata"]["bcc"] == ["boss@example.net"]
    (others,) = [one for one in stranger.comments(table_id, record_id) if one["id"] == ordered["id"]]
    assert "boss" not in json.dumps(others)
    mail = _mail(mta, "lead@example.org")
    assert mail["Subject"] == "Welcome Twenty desks"
    assert mail["From"] == "Sales <sales@acme.example>"
    (attached,) = mail.iter_attachments()
    assert attached.get_content() == b"%PDF-1.7 brochure"
    body = mail.get_body(("html",))
    assert body is not None
    html = str(body.get_content())
    assert "Hi Lea Lead," in html
    assert "<p>Kim</p>" in html

    (url,) = re.findall(r'src="([^"]+/email/pixel/[^"]+\.png)"', html)
    seen = pixel(url)
    assert seen == pixel(f"{address}/email/pixel/0123456789abcdef.png")
    assert seen[:2] == ("image/png", "no-store")
    read = client.wait(table_id, record_id, "email_out", "read")
    assert read["metadata"]["readAt"]
    pixel(url)

    reply_to = str(mail["Reply-To"])
    assert re.fullmatch(r"reply-[0-9a-f]{32}@catch\.example", reply_to)
    answer = "From: lead@example.org\r\nTo: {}\r\nSubject: Re: Welcome\r\n\r\nYes, please.\r\n"
    assert email2hook(address, answer.format("reply-0123456789abcdef0123456789abcdef@catch.example").encode()) == 200
    assert email2hook(address, answer.format(reply_to).encode()) == 200
    came = client.wait(table_id, record_id, "email_in")
    assert came["text"].strip() == "Yes, please."
    assert came["metadata"]["inReplyTo"] == ordered["id"]
    mails = [one for one in client.comments(table_id, record_id) if one["type"].startswith("email_")]
    assert [one["type"] for one in mails] == ["email_in", "email_out"]
    assert mails[1]["metadata"]["readAt"] == read["metadata"]["readAt"]
    client.delete_signature(signature["id"])
    assert client.signatures() == []


def _table_id(client: EmailClient) -> int:
    asked = {"filter": {"field": "identifier", "op": "eq", "value": "CrmLead"}}
    return int(client.call("POST", "/api/records/ModelRegistry/query", asked)["items"][0]["id"])


def _upload(address: str, token: str, table_id: int, content: bytes) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{address}/api/files?name=brochure.pdf&table_id={table_id}",
        method="POST",
        data=content,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer))


def _mail(mta: FakeMta, recipient: str) -> EmailMessage:
    (accepted,) = [one for one in mta.ledger if one.recipient == recipient]
    mail = message_from_bytes(accepted.raw, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    assert "boss" not in accepted.raw.decode()
    return mail


def _status(call: Any) -> int:
    try:
        call()
    except urllib.error.HTTPError as error:
        return error.code
    return 200
