"""`IncomingMailServer`: a mailbox that mail is fetched from."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class IncomingMailServer(Record):
    """An IMAP account. The fields from `last_success_at` on belong to the fetcher."""

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    name = fields.CharField(max_length=200)
    server = fields.CharField(max_length=255)
    port = fields.IntField(default=993)
    use_ssl = fields.BooleanField(default=True)
    """True: implicit TLS on 993, STARTTLS on other ports unless `tls` says otherwise. False: no TLS."""
    tls = fields.SelectionField(
        {"": "By port", "implicit": "Implicit", "starttls": "STARTTLS", "none": "None"}, default=""
    )
    verify_certificate = fields.BooleanField(default=True)
    username = fields.CharField(max_length=320, default="")
    password = fields.SecretField(default="")
    folders = fields.JSONField(default=lambda: ["INBOX"])
    active = fields.BooleanField(default=True)
    last_success_at = fields.DatetimeField(null=True)
    next_fetch_at = fields.DatetimeField(null=True)
    """Not before this time, while the server is failing."""
    failure_count = fields.IntField(default=0)
    last_error = fields.TextField(default="")
