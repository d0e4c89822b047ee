"""`EmailSignature`: what a user puts under mails, as HTML; one of a user's is the default."""

from __future__ import annotations

import asyncio
from typing import Any

from core.errors import UserError
from core.mail.sanitise import cleaned_html
from core.orm import fields
from core.orm.record import Record
from core.orm.transaction import transaction
from core.runtime import get_model

HTML_BYTES = 200 * 1024
"""What a signature may have, in UTF-8."""


class EmailSignature(Record):
    """A user's own; without a default one, `User.signature` stands under mails."""

    user = fields.ForeignKeyField("models.User", related_name="email_signatures", on_delete=fields.CASCADE)
    user_id: int
    name = fields.CharField(max_length=200)
    html = fields.TextField(default="")
    """Cleaned when it is stored: it goes into mails, and into the pages that show them."""
    is_default = fields.BooleanField(default=False)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        indexes = (("user_id", "id"),)

    async def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the signature; a new default takes the place of the former one. UserError for HTML that is too long."""
        _require_fitting(self.html)
        # Pictures stay, wherever they lie: it is the user's own letterhead.
        cleaned = await asyncio.to_thread(cleaned_html, self.html, _no_file, remote_images=True)
        # Cleaning writes some characters longer.
        _require_fitting(cleaned.html)
        self.html = cleaned.html
        async with transaction():
            if self.is_default:
                # Of two who choose a default at once, one waits for the other.
                await get_model("User").select_for_update().get_or_none(id=self.user_id)
                await (
                    get_model("EmailSignature")
                    .filter(user_id=self.user_id)
                    .exclude(id=self.pk or 0)
                    .update(is_default=False)
                )
            await super().save(*args, **kwargs)


def _require_fitting(html: str) -> None:
    if len(html.encode()) > HTML_BYTES:
        raise UserError(f"The signature is larger than {HTML_BYTES} bytes; use smaller pictures, or less of it.")


def _no_file(content_id: str) -> str | None:
    """A signature has no files that a `cid:` link could name."""
