"""`Addon`: which addons a database has installed, and in which version."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class Addon(Record):
    """An installed addon."""

    _of_host = True

    name = fields.CharField(max_length=64, unique=True)
    title = fields.CharField(max_length=200)
    version = fields.CharField(max_length=32)
    installed_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)
