"""`make run` as a newcomer has it: the whole loop in the dev mailbox, and not one connection to the outside."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.command import Postroom, Running, wait_for
from tests.acceptance.visitor import Visitor
from tests.servers.free_port import free_port


@pytest.fixture
def trap() -> Iterator[tuple[int, list[object]]]:
    """A port that stands for every mail server there is, and whoever called at it."""
    callers: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            while True:
                try:
                    connection, address = listener.accept()
                except OSError:
                    return
                callers.append(address)
                connection.close()

        threading.Thread(target=listen, daemon=True).start()
        yield listener.getsockname()[1], callers
        listener.shutdown(socket.SHUT_RDWR)


def test_the_loop_in_the_dev_mailbox(tmp_path: Path, trap: tuple[int, list[object]]) -> None:
    port, callers = trap
    demo = Postroom(
        tmp_path,
        DATABASE_URL=f"sqlite://{tmp_path}/postroom.db",
        MAIL_MODE="catch",
        UNDO_SECONDS=0,
        SMTP_SERVER="127.0.0.1",
        SMTP_PORT=port,
        HTTP_PORT=free_port(),
        ADDONS_PATH=[str(_addon_with_servers(tmp_path, port))],
    )
    with demo.running("run", "--demo") as host, Visitor(host.address()) as anna:
        words = host.output.split()
        login = {"login": words[words.index("as") + 1], "password": words[words.index("Password") + 1]}
        anna.open("/").submit("/login", **login)

        # An invoice mail with its PDF.
        page = anna.open("/records/FinancialDocument").links("/records/FinancialDocument/1")[0]
        anna.open(f"{page}/template/financial_document_send_template").submit("/financial_document_send_template")
        wait_for(lambda: anna.open("/dev/mail").links("/dev/mail/"), "the caught mail")
        caught = next(link for link in anna.links("/dev/mail/") if link.rpartition("/")[2].isdigit())
        assert ".pdf" in anna.open(caught).text

        # Opened and clicked; nobody reads within two seconds, so it is opened until it counts.
        wait_for(lambda: "(estimate)" in anna.open(caught).submit("/open").open(page).text, "the open")
        mail = anna.client.get(f"/api{caught}").json()
        link = next(one for one in mail["links"] if "/api/email/track/click/" in one)
        firefox = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
        clicked = anna.client.get(link, headers=firefox, follow_redirects=False)
        assert clicked.headers["location"] == "https://lakeside.example"
        wait_for(lambda: "Clicked https://lakeside.example" in anna.open(page).text, "the click")

        # A reply that lands on the invoice's timeline, and says why.
        anna.open(caught).submit("/reply", text="Thank you, the order number is 4711.")
        assert "4711" in anna.open(page).text
        assert "its reply address leads to FinancialDocument" in anna.text

        # A mail to leads@ that becomes a lead.
        anna.open("/dev/mail").submit("/dev/mail/new", to="leads@localhost", subject="Twenty desks, please")
        assert "Twenty desks, please" in anna.open("/records/CrmLead").text

        # Every other way out is shut as well.
        assert demo.json("queue", "flush")["states"]["Queued"] == 0
        demo.call("inbound", "fetch", "--once")
        demo.call("server", "test", "config", code=3)
        demo.call("server", "test", "elsewhere", code=3)
        assert _connections_out(host) == []
    assert callers == []


def _connections_out(host: Running) -> list[str]:
    """Return the far ends of connections that the host's processes opened themselves."""
    process = psutil.Process(host.process.pid)
    family = [process, *process.children(recursive=True)]
    own = {one.laddr.port for each in family for one in each.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
    return [
        f"{one.raddr.ip}:{one.raddr.port}"
        for each in family
        for one in each.net_connections("inet")
        if one.raddr and one.laddr.port not in own
    ]


def _addon_with_servers(folder: Path, port: int) -> Path:
    """An addon that brings mail servers of the live site, as a copied production database would have."""
    addon = folder / "addons" / "live"
    (addon / "data").mkdir(parents=True)
    (addon / "addon.yaml").write_text('name: live\ntitle: Live\nversion: "1.0"\ndata: [data/servers.yaml]\n')
    (addon / "hooks.py").touch()
    account = f"server: 127.0.0.1, port: {port}, use_ssl: false"
    (addon / "data" / "servers.yaml").write_text(
        f"- {{data_type: OutgoingMailServer, identifier: smtp, name: smtp, {account}}}\n"
        f"- {{data_type: IncomingMailServer, identifier: imap, name: elsewhere, {account}}}\n"
    )
    return addon.parent
