"""An IncomingMailServer record as the account that the clients take."""

from __future__ import annotations

from typing import Any

from core.orm.fields import readable
from core.runtime import get_model, settings
from core.transport.imap import ImapAccount
from core.transport.mailbox_account import MailboxAccount
from core.transport.peer import PeerPolicy
from core.transport.pop3 import Pop3Account
from core.transport.tls import Tls


def account_of(server: Any) -> Any:
    """Return the record's ImapAccount or Pop3Account; raises ConfigError for one that cannot be used."""
    kind: type[MailboxAccount] = Pop3Account if server.protocol == "pop3" else ImapAccount
    return kind(
        host=server.server,
        port=server.port,
        tls=Tls(server.tls or (Tls.AUTO if server.use_ssl else Tls.NONE)),
        username=server.username,
        password="" if server.oauth_id else readable(server.password, f"The password of {server.name}"),
        token=get_model("OAuthAccount").tokens(server.oauth_id) if server.oauth_id else None,
        verify=server.verify_certificate,
        peers=PeerPolicy.of(settings().PRIVATE_HOSTS_ALLOWED) if server.public_host_only else None,
    )
