"""`ServerPause`: an outgoing server that is left alone for a while, because it, not a mail, is at fault."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class ServerPause(Record):
    """The circuit of one outgoing server; `server` is `config` or the id of an OutgoingMailServer."""

    label_field = "server"
    _of_host = True

    server = fields.CharField(max_length=64, unique=True)
    until_at = fields.DatetimeField()
    failures = fields.IntField(default=0)
    """Faults in a row; each one lengthens the pause."""
    reason = fields.TextField(default="")
