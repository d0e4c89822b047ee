"""The main job on real mail: the real command, a real Postfix as relay, a real Dovecot as mailbox, both databases.

An invoice mail with its PDF goes out, its answer comes back onto the invoice's timeline, a mail to an alias becomes a
lead, and a worker killed in the middle loses nothing.
"""

from __future__ import annotations

import json
import smtplib
import time
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import pytest
from imap_tools import AND, MailBoxUnencrypted, MailMessage
from pypdf import PdfReader

from tests.acceptance.command import Postroom, wait_for
from tests.acceptance.visitor import Visitor
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.postfix import Postfix

OURS, THEIRS = "acme.test", "customer.test"
MAILS = 300
LANES = 8

ADDON = {
    "addon.yaml": 'name: site\ntitle: Site\nversion: "1.0"\ndepends: [invoicing, crm]\ndata: [data/site.yaml]\n',
    "__init__.py": "",
    "hooks.py": """
from core.api import Command, get_model, hookimpl, transaction

async def fill(words):
    async with transaction():
        for number in range(int(words[0])):
            await get_model("Message").queue_email(
                None, [f"bulk@customer.test"], f"Number {number}", "<p>Hello</p>", from_email="office@acme.test"
            )

@hookimpl
def register_commands():
    return [Command("fill", fill, "Queue some mails.")]
""",
}


@pytest.fixture(scope="module")
def postfix(dovecot: Dovecot) -> Iterator[Postfix]:
    routes = {OURS: dovecot.transport, THEIRS: dovecot.transport}
    with Postfix(routes=routes, aliases={f"@{OURS}": f"box@{OURS}"}) as server:
        dovecot.add_user(f"box@{OURS}")
        yield server


@pytest.fixture
def customer(dovecot: Dovecot) -> str:
    address = f"ada{uuid4().hex[:8]}@{THEIRS}"
    dovecot.add_user(address)
    return address


@pytest.fixture
def site(
    tmp_path: Path,
    database_url: str,
    postfix: Postfix,
    dovecot: Dovecot,
    customer: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Postroom:
    """A set-up host whose addon brings the mailbox and an invoice for the customer."""
    monkeypatch.setenv("NO_COLOR", "1")
    addon = tmp_path / "addons" / "site"
    for name, text in {**ADDON, "data/site.yaml": _seeds(dovecot, customer)}.items():
        (addon / name).parent.mkdir(parents=True, exist_ok=True)
        (addon / name).write_text(text)
    site = Postroom(
        tmp_path / "host",
        DATABASE_URL=database_url,
        ADDONS_PATH=[str(tmp_path / "addons")],
        MAIL_MODE="live",
        MAIL_DOMAIN=OURS,
        SMTP_SERVER="127.0.0.1",
        SMTP_PORT=postfix.port,
        SMTP_TLS="none",
        SMTP_FROM_EMAIL=f"office@{OURS}",
        SMTP_CONCURRENCY=LANES,
        LEASE_SECONDS=3,
        CRON_POLL_SECONDS=1,
        HTTP_PORT=0,
        UNDO_SECONDS=0,
    )
    with _mailbox(dovecot, f"box@{OURS}") as box:
        box.delete(box.uids())
    site.call("init")
    (tmp_path / "password").write_text("correct horse battery\n")
    site.call("user", "add", f"anna@{OURS}", "--name", "Anna", "--admin", "--password-file", str(tmp_path / "password"))
    return site


def _seeds(dovecot: Dovecot, customer: str) -> str:
    return f"""
- data_type: IncomingMailServer
  identifier: site_box
  name: box
  server: 127.0.0.1
  port: {dovecot.port}
  tls: none
  username: box@{OURS}
  password: {PASSWORD}
- data_type: Contact
  identifier: site_ada
  name: Ada Byron
  email: {customer}
- data_type: FinancialDocument
  identifier: site_invoice
  contact: site_ada
  company: core.main_company
- data_type: FinancialDocumentLine
  identifier: site_line
  document: site_invoice
  description: Analytical engine
  quantity: 2
  unit_price: 1250.50
"""


def test_the_whole_loop(site: Postroom, postfix: Postfix, dovecot: Dovecot, customer: str) -> None:
    with site.running("run", "--no-demo") as host, Visitor(host.address()) as anna:
        anna.open("/").submit("/login", login=f"anna@{OURS}", password="correct horse battery")
        (invoice,) = [row["id"] for row in anna.client.get("/api/records/FinancialDocument").json()["items"]]
        page = f"/records/FinancialDocument/{invoice}"

        # Out: a templated mail with its PDF.
        anna.open(f"{page}/template/financial_document_send_template").submit("/financial_document_send_template")
        mail = wait_for(lambda: _newest(dovecot, customer), "the invoice mail")
        assert "INV/" in mail.subject
        (pdf,) = [file for file in mail.attachments if file.content_type == "application/pdf"]
        words = " ".join(" ".join(page.extract_text() for page in PdfReader(BytesIO(pdf.payload)).pages).split())
        assert "Analytical engine" in words
        assert "2,501" in words
        wait_for(lambda: f"Sent {customer}" in anna.open(page).text, "the sent mark beside the recipient")

        # Back: the answer lands on the invoice's timeline.
        _answer(postfix, mail, customer, "Dear Anna, the order number is 4711.")
        _deliver(postfix, customer, f"leads@{OURS}", "Ten more engines", "Please call me.")
        wait_for(lambda: len(_all(dovecot, f"box@{OURS}")) >= 2, "both mails in our mailbox")
        assert site.json("cron", "run", "cron_incoming_mail_fetch")["outcome"] == "done"
        # The host watches the mailbox too: who came first has the mails, and the other need not wait for it.
        wait_for(lambda: len(site.json("inbound", "ls")) >= 2, "both mails in the trace")
        timeline = anna.client.get(f"/api{page}/timeline").json()["items"]
        # Newest first: the answer, the state that the accepted mail changed, the mail.
        assert [entry["kind"] for entry in timeline] == ["inbound", "tracking", "outbound"]
        assert "4711" in json.dumps(timeline)
        assert "4711" in anna.open(page).text

        # And a mail to the alias is a lead with a timeline of its own.
        leads = anna.client.get("/api/records/CrmLead").json()["items"]
        (lead,) = [row for row in leads if "Ten more engines" in json.dumps(row)]
        entries = anna.client.get(f"/api/records/CrmLead/{lead['id']}/timeline").json()["items"]
        assert any("Please call me." in json.dumps(entry) for entry in entries)

        # Each mail says why it went where it went, and the mailbox was told only after the commit.
        assert {row["outcome"] for row in site.json("inbound", "ls")} == {"reply", "record"}
        assert all("\\Seen" in one.flags for one in _all(dovecot, f"box@{OURS}"))
    assert site.json("queue", "stats")["Sent"] == 1


def test_kill_in_mid_flush_loses_nothing(site: Postroom, dovecot: Dovecot) -> None:
    """Each kill may repeat at most what was in flight: one mail a lane (C2)."""
    dovecot.add_user(f"bulk@{THEIRS}")
    before = len(_all(dovecot, f"bulk@{THEIRS}"))
    site.call("site", "fill", str(MAILS))
    kills = 0
    for share in (0.1, 0.4, 0.7):
        worker = site.start("worker")
        target = before + round(MAILS * share)
        wait_for(lambda target=target: _count(dovecot, f"bulk@{THEIRS}") >= target, f"{target} mails", timeout_s=120)
        worker.kill()
        kills += 1
    with site.running("worker"):
        # First the cheap question: each of the other ones starts two processes.
        most = before + MAILS - kills * LANES
        wait_for(lambda: _count(dovecot, f"bulk@{THEIRS}") >= most, f"{most} mails", timeout_s=120)
        wait_for(lambda: _unfinished(site) == 0, "an empty queue", timeout_s=120)
    time.sleep(0.05)
    arrived = Counter(mail.headers["message-id"][0] for mail in _all(dovecot, f"bulk@{THEIRS}")[before:])
    assert len(arrived) == MAILS, f"{MAILS - len(arrived)} mails were lost"
    assert sum(arrived.values()) - MAILS <= kills * LANES


def _unfinished(site: Postroom) -> int:
    # What a kill left in doubt waits for its retry; here it need not wait that long.
    counts = site.json("queue", "stats")
    if failed := site.json("queue", "ls", "--state", "Failed"):
        site.call("queue", "retry", *(str(row["id"]) for row in failed))
    return int(MAILS - counts["Sent"])


def _mailbox(dovecot: Dovecot, user: str) -> MailBoxUnencrypted:
    return MailBoxUnencrypted("127.0.0.1", dovecot.port).login(user, PASSWORD)


def _all(dovecot: Dovecot, user: str) -> list[MailMessage]:
    with _mailbox(dovecot, user) as box:
        return list(box.fetch(AND(all=True), mark_seen=False, bulk=100))


def _count(dovecot: Dovecot, user: str) -> int:
    """Look into the Maildir: the server would start a process each time it is asked."""
    folder = dovecot.folder / "mail" / user
    return sum(1 for place in ("new", "cur") for _ in (folder / place).glob("*"))


def _newest(dovecot: Dovecot, user: str) -> MailMessage | None:
    mails = _all(dovecot, user)
    return mails[-1] if mails else None


def _answer(postfix: Postfix, mail: MailMessage, sender: str, text: str) -> None:
    """Answer as mail programs do: to Reply-To, with the references, quoting below."""
    original = message_from_bytes(mail.obj.as_bytes(), policy=policy.default)
    answer = EmailMessage()
    answer["From"], answer["To"] = f"Ada Byron <{sender}>", str(original["Reply-To"])
    answer["Subject"] = f"Re: {mail.subject}"
    answer["Message-ID"] = f"<{uuid4().hex}@{THEIRS}>"
    answer["In-Reply-To"] = answer["References"] = str(original["Message-ID"])
    answer.set_content(f"{text}\n\nOn Monday Anna wrote:\n> {mail.text.splitlines()[0] if mail.text else ''}\n")
    _send(postfix, answer)


def _deliver(postfix: Postfix, sender: str, to: str, subject: str, text: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, to, subject
    mail["Message-ID"] = f"<{uuid4().hex}@{THEIRS}>"
    mail.set_content(text)
    _send(postfix, mail)


def _send(postfix: Postfix, mail: EmailMessage) -> None:
    with smtplib.SMTP("127.0.0.1", postfix.port) as smtp:
        smtp.send_message(mail)
