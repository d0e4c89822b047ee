"""A private Dovecot 2.3: IMAP, POP3, both over TLS, and LMTP on loopback, Maildir, users added while it runs.

Runs without root rights, as one unprivileged account, so it behaves the same for everybody.
"""

from __future__ import annotations

import getpass
import grp
import json
import os
import pwd
import shutil
import smtplib
import socket
import subprocess
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent
from threading import Thread
from urllib.parse import parse_qs

from tests.servers.certificate import make_certificate
from tests.servers.daemon import Daemon, ServerFailedError, program
from tests.servers.free_port import free_port

PACKAGES = "dovecot-imapd dovecot-pop3d dovecot-lmtpd"
PASSWORD = "open sesame"


class Dovecot(Daemon):
    """A mail server; `port` takes plain and STARTTLS, `tls_port` implicit TLS, both for IMAP and (`pop3_`) POP3;
    `lmtp_port` mail. `tokens` are the access tokens (OAuth 2) that log in, each with its user.
    """

    name = "dovecot"
    run_as = "nobody"

    def __init__(self) -> None:
        super().__init__()
        self.program = program("dovecot", PACKAGES)
        self.port, self.tls_port, self.lmtp_port = free_port(), free_port(), free_port()
        self.pop3_port, self.pop3_tls_port = free_port(), free_port()
        self.tokens: dict[str, str] = {}
        self.introspection = _Introspection(self.tokens)
        self.certificate = make_certificate(self.folder)
        self.config = self.folder / "dovecot.conf"
        self.users = self.folder / "users"
        self.users.mkdir()

    @property
    def ca_file(self) -> Path:
        return self.certificate.certificate_file

    @property
    def transport(self) -> str:
        """Where Postfix hands mail over to this server, in the words of its transport table."""
        return f"lmtp:inet:127.0.0.1:{self.lmtp_port}"

    def command(self) -> list[str]:
        return [self.program, "-F", "-c", str(self.config)]

    def prepare(self) -> None:
        version = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True).stdout
        if not version.startswith("2.3."):
            raise ServerFailedError(f"The configuration here is in the syntax of Dovecot 2.3; found {version.strip()}")
        self.config.write_text(self._config())
        (self.folder / "oauth2.conf").write_text(
            f"introspection_mode = post\nintrospection_url = {self.introspection.url}\n"
            "username_attribute = username\nactive_attribute = active\nactive_value = true\n"
        )
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, self.run_as)

    def close(self) -> None:
        self.introspection.shutdown()
        self.introspection.server_close()
        super().close()

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(4) == b"* OK"
        except OSError:
            return False

    def add_user(self, user: str, password: str = PASSWORD) -> None:
        """Make a mailbox; `user` may be a name or a whole address."""
        # A file for each: Dovecot does not look twice within a second at one it has read.
        (self.users / user).write_text(f"{user}:{{PLAIN}}{password}::::::\n")

    def deliver(self, user: str, *mails: bytes) -> None:
        """Put mails into the user's INBOX by LMTP, in this order."""
        with smtplib.LMTP("127.0.0.1", self.lmtp_port) as lmtp:
            for raw in mails:
                lmtp.sendmail("sender@example.test", [user], raw)

    def kick(self, user: str) -> None:
        """End the user's sessions as an administrator would; clients soon get a BYE and lose the connection.

        A client hears of its login a moment before the process does that keeps count of sessions.
        """
        self._wait_until(lambda: self.sessions(user) > 0)
        self._doveadm("kick", user)

    def sessions(self, user: str) -> int:
        """Return how many connections are logged in as this user."""
        lines = self._doveadm("who", "-1", user).splitlines()[1:]
        return sum(line.split()[0] == user for line in lines)

    def create_folder(self, user: str, folder: str) -> None:
        self._doveadm("mailbox", "create", "-u", user, folder)

    def move_all(self, user: str, folder: str) -> None:
        """Move what is in the INBOX to another folder."""
        self._doveadm("move", "-u", user, folder, "mailbox", "INBOX", "all")

    def copy_all(self, user: str, folder: str) -> None:
        """Copy what is in the INBOX to another folder."""
        self._doveadm("copy", "-u", user, folder, "mailbox", "INBOX", "all")

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + 20
        while not condition():
            if time.monotonic() > give_up_at:
                raise ServerFailedError(f"No session came within 20 s:\n{self.log_tail()}")
            time.sleep(0.02)

    def _doveadm(self, *arguments: str) -> str:
        command = self.as_account([program("doveadm", PACKAGES), "-c", str(self.config), *arguments])
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            raise ServerFailedError(f"doveadm {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def _config(self) -> str:
        account = "nobody" if os.geteuid() == 0 else getpass.getuser()
        return dedent(f"""
            base_dir = {self.folder}/run
            state_dir = {self.folder}/state
            log_path = /dev/stderr
            default_internal_user = {account}
            default_internal_group = {_group(account)}
            default_login_user = {account}
            mail_location = maildir:{self.folder}/mail/%u
            mail_fsync = never
            protocols = imap pop3 lmtp
            listen = 127.0.0.1
            ssl = yes
            ssl_cert = <{self.certificate.certificate_file}
            ssl_key = <{self.certificate.key_file}
            disable_plaintext_auth = no
            auth_mechanisms = plain login xoauth2 oauthbearer
            auth_failure_delay = 0
            mail_max_userip_connections = 0
            postmaster_address = postmaster@example.test
            passdb {{
              driver = passwd-file
              mechanisms = plain login
              args = username_format=%u {self.users}/%u
            }}
            passdb {{
              driver = oauth2
              mechanisms = xoauth2 oauthbearer
              args = {self.folder}/oauth2.conf
            }}
            userdb {{
              driver = passwd-file
              args = username_format=%u {self.users}/%u
              default_fields = uid={account} gid={_group(account)} home={self.folder}/mail/%u
            }}
            namespace inbox {{
              inbox = yes
              separator = /
              mailbox Sent {{
                special_use = \\Sent
              }}
            }}
            service anvil {{
              chroot =
              # No slowing down after failed logins.
              unix_listener anvil-auth-penalty {{
                mode = 0
              }}
            }}
            service imap-login {{
              chroot =
              service_count = 0
              inet_listener imap {{
                port = {self.port}
              }}
              inet_listener imaps {{
                port = {self.tls_port}
              }}
            }}
            service imap {{
              process_min_avail = 1
            }}
            service pop3-login {{
              chroot =
              service_count = 0
              inet_listener pop3 {{
                port = {self.pop3_port}
              }}
              inet_listener pop3s {{
                port = {self.pop3_tls_port}
              }}
            }}
            service lmtp {{
              user = {account}
              inet_listener lmtp {{
                port = {self.lmtp_port}
              }}
            }}
            service stats {{
              chroot =
            }}
        """)


class _Introspection(ThreadingHTTPServer):
    """Tells Dovecot whose access token is good (RFC 7662)."""

    daemon_threads = True

    def __init__(self, tokens: dict[str, str]):
        super().__init__(("127.0.0.1", 0), _IntrospectionHandler)
        self.tokens = tokens
        self.url = f"http://127.0.0.1:{self.server_address[1]}/introspect"
        Thread(target=self.serve_forever, daemon=True).start()


class _IntrospectionHandler(BaseHTTPRequestHandler):
    server: _Introspection

    def do_POST(self) -> None:
        asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        user = self.server.tokens.get(asked["token"][0])
        body = json.dumps({"active": True, "username": user} if user else {"active": False}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _group(account: str) -> str:
    return grp.getgrgid(pwd.getpwnam(account).pw_gid).gr_name
