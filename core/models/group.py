"""`Group`: what a user may do, by membership."""

from __future__ import annotations

from core.models.audited import Audited
from core.orm import fields


class Group(Audited):
    """A set of users; members of a group are members of all that it implies."""

    _admins_write = ("*",)

    identifier = fields.CharField(max_length=128, unique=True)
    name = fields.CharField(max_length=200)
    implies = fields.ManyToManyField(
        "models.Group", related_name="implied_by", through="group_implies", forward_key="implied_id"
    )

    class Meta:
        table = "app_group"
