"""A private Postfix on loopback: the relay that Postroom sends through, and the way mail comes in.

It delivers each domain where its table says (a Dovecot by LMTP, another SMTP server), asks no DNS, and never lets
mail off the machine. Needs root, as Postfix itself does.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

from tests.servers.certificate import make_certificate
from tests.servers.daemon import Daemon, ServerMissingError, program
from tests.servers.free_port import free_port

BOUNCE = "error:5.1.2 Nobody delivers to this domain"
QUEUES = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming"),
    *("maildrop", "private", "public", "saved", "trace"),
)


class Postfix(Daemon):
    """An SMTP server at `port` that takes mail for every domain from loopback.

    `routes` says per domain where mail goes, in Postfix's own words: `lmtp:inet:host:port`, `smtp:[host]:port`,
    `discard:` or `BOUNCE`; other domains go to `default`. `aliases` turns recipients into others before that, so that
    `{"@crm.test": "box@mail.test"}` makes a catch-all. A bounce is sent back by the same routes.
    """

    name = "postfix"

    def __init__(
        self, routes: Mapping[str, str], aliases: Mapping[str, str] | None = None, default: str = BOUNCE
    ) -> None:
        postconf = program("postconf", "postfix")
        if os.geteuid() != 0:
            raise ServerMissingError("Postfix starts as root only. Run the tests as root, in a container if need be.")
        super().__init__()
        self.programs = Path(subprocess.check_output([postconf, "-h", "daemon_directory"], text=True).strip())
        self.routes, self.aliases, self.default = dict(routes), dict(aliases or {}), default
        self.port = free_port()
        self.certificate = make_certificate(self.folder)
        self.config = self.folder / "config"
        self.queue = self.folder / "queue"

    @property
    def ca_file(self) -> Path:
        return self.certificate.certificate_file

    def command(self) -> list[str]:
        # The master itself: the `postfix` script around it checks the whole installation for two seconds first.
        return [str(self.programs / "master"), "-c", str(self.config), "-s"]

    def prepare(self) -> None:
        # The parent folder is private to root; Postfix's own account must be able to pass through it.
        self.folder.chmod(0o755)
        for folder in (self.config, self.queue, self.queue / "pid"):
            folder.mkdir(exist_ok=True)
        for folder in (self.folder / "data", *(self.queue / name for name in QUEUES)):
            folder.mkdir(exist_ok=True)
            shutil.chown(folder, "postfix")
        (self.config / "main.cf").write_text(self._main())
        (self.config / "master.cf").write_text(self._master())
        (self.config / "routes").write_text("".join(f"{domain} {where}\n" for domain, where in self.routes.items()))
        (self.config / "aliases").write_text("".join(f"{old} {new}\n" for old, new in self.aliases.items()))

        # Postfix waits until a changed file is two seconds old before it reads it.
        for file in self.config.iterdir():
            os.utime(file, (0, 0))

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                return connection.recv(3) == b"220"
        except OSError:
            return False

    def _main(self) -> str:
        return dedent(f"""
            compatibility_level = 3.6
            queue_directory = {self.queue}
            data_directory = {self.folder}/data
            maillog_file = /dev/stdout
            myhostname = relay.example.test
            mydestination =
            mynetworks = 127.0.0.0/8
            inet_interfaces = 127.0.0.1
            inet_protocols = ipv4
            disable_dns_lookups = yes
            smtp_host_lookup = native
            lmtp_host_lookup = native
            biff = no
            # Take mail for domains that bounce, so that a real bounce is written.
            smtpd_reject_unlisted_recipient = no
            alias_maps =
            local_recipient_maps =
            transport_maps = texthash:{self.config}/routes
            virtual_alias_maps = texthash:{self.config}/aliases
            default_transport = {self.default}
            relay_transport = {self.default}
            smtpd_tls_cert_file = {self.certificate.certificate_file}
            smtpd_tls_key_file = {self.certificate.key_file}
            smtpd_tls_security_level = may
            message_size_limit = 52428800
            minimal_backoff_time = 1s
            maximal_backoff_time = 2s
            queue_run_delay = 1s
        """)

    def _master(self) -> str:
        return dedent(f"""
            127.0.0.1:{self.port} inet n - n - - smtpd
            pickup    unix n - n 60 1 pickup
            cleanup   unix n - n -  0 cleanup
            qmgr      unix n - n 1  1 qmgr
            tlsmgr    unix - - n 1000? 1 tlsmgr
            rewrite   unix - - n -  - trivial-rewrite
            bounce    unix - - n -  0 bounce
            defer     unix - - n -  0 bounce
            trace     unix - - n -  0 bounce
            verify    unix - - n -  1 verify
            flush     unix n - n 1000? 0 flush
            proxymap  unix - - n -  - proxymap
            smtp      unix - - n -  - smtp
            relay     unix - - n -  - smtp
            showq     unix n - n -  - showq
            error     unix - - n -  - error
            retry     unix - - n -  - error
            discard   unix - - n -  - discard
            lmtp      unix - - n -  - lmtp
            anvil     unix - - n -  1 anvil
            scache    unix - - n -  1 scache
            postlog   unix-dgram n - n - 1 postlogd
        """)
