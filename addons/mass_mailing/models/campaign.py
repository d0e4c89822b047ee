"""`Campaign`: one mailing to an audience, each of whom gets it once.

A campaign feeds the queue and does not send: who may be written to, when, and what became of it, is the queue's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import MAXYEAR, datetime, timedelta
from time import monotonic
from typing import Any

from tortoise.functions import Count

from core.api import (
    AccessDenied,
    Chatter,
    PostroomError,
    Progress,
    UnknownName,
    UserError,
    acting_user,
    cron_method,
    fields,
    get_model,
    now,
    rehearsal,
    transaction,
)

from ..audience import check_audience, first_of, freeze
from ..feeding import feed, rendered_for
from ..settling import has_open_rows, queued_count, settle, settle_sending
from .campaign_recipient import OPEN
from .mailing_list import UNNAMED_LIST

STATES = {
    "draft": "Draft",
    "scheduled": "Scheduled",
    "running": "Running",
    "paused": "Paused",
    "finished": "Finished",
    "cancelled": "Cancelled",
}
FEEDER = "cron_campaigns"
_IN_QUEUE = 2_000
"""So many mails of a campaign wait in the queue at most."""
_FEED_S = 5.0
_LOOK_AGAIN_S = 0.5
_HEARD_OF_DAYS = 60
_FOR_A_PERSON = (UserError, UnknownName, AccessDenied)
"""What is wrong with one campaign, and must stop no other."""


class Campaign(Chatter):
    """What is sent, to whom, and how far that came.

    The audience is a list, or the records of a model that a JSON filter leaves; it is frozen at the start, as who
    starts it may read it. The text is a template of that model, or the campaign's own.
    """

    _title = "Campaigns"
    _track = ("state", "paused_reason")
    _accepts_email = False
    _written_over_http = False

    name = fields.CharField(max_length=200)
    mailing_list: Any = fields.ForeignKeyField(
        "models.MailingList", null=True, related_name="campaigns", on_delete=fields.RESTRICT
    )
    mailing_list_id: int | None
    audience_model = fields.CharField(max_length=100, default="")
    audience_filter = fields.JSONField(null=True)
    """A filter tree of the records API; None takes all that may be read."""
    address_field = fields.CharField(max_length=200, default="email")
    """Where a record's address is, over relations by dots: `contact.email`."""
    name_field = fields.CharField(max_length=200, default="")
    """Where the person's name is, for the To header; empty leaves it out."""
    template: Any = fields.ForeignKeyField(
        "models.EmailTemplate", null=True, related_name="campaigns", on_delete=fields.RESTRICT
    )
    template_id: int | None
    subject = fields.CharField(max_length=998, default="")
    body = fields.TextField(default="")
    from_email = fields.CharField(max_length=512, default="")
    """`Name <address>`; empty is the template's, or the user's own."""
    reply_to = fields.CharField(max_length=512, default="")
    server = fields.CharField(max_length=32, null=True)
    """The key of the one server that may send it; None leaves the choice to the host."""
    tracked = fields.BooleanField(default=True)
    user: Any = fields.ForeignKeyField("models.User", null=True, related_name="campaigns", on_delete=fields.SET_NULL)
    """Who starts it: the author of its mails, whose rights limit the audience."""
    user_id: int | None
    company: Any = fields.ForeignKeyField(
        "models.Company", null=True, related_name="campaigns", on_delete=fields.SET_NULL
    )
    company_id: int | None
    state = fields.SelectionField(STATES, default="draft")
    paused_reason = fields.CharField(max_length=500, default="")
    scheduled_at = fields.DatetimeField(null=True)
    started_at = fields.DatetimeField(null=True)
    finished_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        indexes = (("state", "id"),)

    async def list_name(self) -> str:
        """Return what a recipient of this leaves by one click."""
        of_list = await get_model("MailingList").get_or_none(id=self.mailing_list_id) if self.mailing_list_id else None
        return of_list.name if of_list else UNNAMED_LIST

    # Writing it.

    async def check(self) -> None:
        """Raise UserError for a campaign that is no mailing to anybody, or whose text cannot be rendered."""
        if (self.mailing_list_id is None) == (not self.audience_model):
            raise UserError("A campaign goes to a mailing list, or to the records of a model: name one of the two.")
        model = self.audience_model or "MailingSubscription"
        get_model(model)
        if self.template_id is not None:
            if self.subject or self.body:
                raise UserError("Name a template, or give subject and body; not both.")
            template = await get_model("EmailTemplate").get(id=self.template_id).prefetch_related("model")
            if template.model.identifier != model:
                raise UserError(
                    f'The template "{template.identifier}" is for {template.model.identifier}, the audience is {model}.'
                )
        elif faults := await get_model("EmailTemplate").check_values({"subject": self.subject, "content": self.body}):
            raise UserError(f"The text cannot be rendered: {'; '.join(faults)}.")
        await check_audience(self)

    async def write(self, values: Mapping[str, Any]) -> None:
        """Store a draft with values, by the names of its columns; UserError for one that was begun, or as `check`."""
        async with transaction():
            if self._saved_in_db:
                await self._lock("be changed", "draft")
            for name, value in values.items():
                setattr(self, name, value)
            await self.check()
            await self.save()

    async def delete(self, *args: Any, **kwargs: Any) -> None:
        """Delete a draft; UserError for a campaign that somebody may have got."""
        async with transaction():
            await self._lock("be deleted", "draft")
            await super().delete(*args, **kwargs)

    # Its life.

    async def schedule(self, at: datetime) -> None:
        """Start it at an aware time in the future; UserError where it is no draft, or cannot be sent."""
        if at <= now():
            raise UserError("scheduled_at is in the past; leave it out to start at once.")
        if at.year == MAXYEAR:
            raise UserError(f"scheduled_at is in the year {at.year}; give a nearer time.")
        async with transaction():
            await self._lock("be scheduled", "draft")
            await self._check_start()
            await self._become("scheduled", scheduled_at=at, user_id=self.user_id, paused_reason="")

    async def start(self) -> int:
        """Freeze the audience and begin; return how many addresses it is, those that are skipped among them.

        UserError where it was started before, reaches nobody, or its text cannot be rendered.
        """
        async with transaction():
            await self._lock("be started", "draft", "scheduled")
            await self._check_start()
            audience = await freeze(self)
            if not audience:
                raise UserError(f'"{self.name}" reaches nobody: its audience is empty.')
            await self._become("running", started_at=now(), scheduled_at=None, user_id=self.user_id, paused_reason="")
            await get_model("CronJob").hurry(FEEDER)
        return audience

    async def pause(self, reason: str = "") -> None:
        """Send no more of it until `resume`, also nothing that waits in the queue; the reason is shown."""
        async with transaction():
            await self._lock("be paused", "running")
            await get_model("Message").hold_all(await self._queued_messages())
            await self._become("paused", paused_reason=reason[:500] or "by hand")

    async def resume(self) -> None:
        """Go on."""
        async with transaction():
            await self._lock("be resumed", "paused")
            await get_model("Message").release_all(await self._queued_messages())
            await self._become("running", paused_reason="")
            await get_model("CronJob").hurry(FEEDER)

    async def cancel(self) -> None:
        """Stop it for good where it was begun, with what waits in the queue; a scheduled one is a draft again."""
        async with transaction():
            await self._lock("be cancelled", "scheduled", "running", "paused")
            if self.state == "scheduled":
                await self._become("draft", scheduled_at=None)
                return
            await get_model("CampaignRecipient").filter(campaign_id=self.pk, state="waiting").update(state="cancelled")
            await get_model("Message").cancel_all(await self._queued_messages())
            await settle(self)
            await self._become("cancelled", paused_reason="", finished_at=now())

    async def retry(self) -> int:
        """Make a new mail for each recipient whose last one failed, and for nobody else; return how many those are."""
        async with transaction():
            await self._lock("try again", "running", "paused", "finished")
            await settle(self)
            failed = get_model("CampaignRecipient").filter(campaign_id=self.pk, state="failed")
            count: int = await failed.update(state="waiting", reason="", message_id=None)
            if not count:
                raise UserError(f'Nobody of "{self.name}" failed, so there is nothing to try again.')
            if self.state == "finished":
                await self._become("running", finished_at=None)
            await get_model("CronJob").hurry(FEEDER)
        return count

    async def finish(self) -> bool:
        """Call it finished if every recipient has come to an end; return whether it has."""
        if await has_open_rows(self):
            return False
        async with transaction():
            stored = await type(self).select_for_update().get(id=self.pk)
            if stored.state != "running" or await has_open_rows(self):
                return False
            self.state = stored.state
            await self._become("finished", finished_at=now())
        return True

    async def catch_up(self) -> None:
        """Let it say what became of its mails by now."""
        if self.state not in ("draft", "scheduled"):
            await settle(self)
            await self.finish()

    async def send_test(self, to: str) -> Any:
        """Queue the mail as the first of the audience would get it, for another address; return the Message."""
        await self.check()
        first = await first_of(self)
        if not first:
            raise UserError(f'"{self.name}" reaches nobody, so there is nothing to show.')
        (mail,) = await rendered_for(self, first, to=to)
        if isinstance(mail, PostroomError):
            raise mail
        (message,) = await get_model("Message").queue_many([mail])
        return message

    @classmethod
    async def counts(cls, ids: Sequence[int]) -> dict[int, Counter[str]]:
        """Return how many recipients of some campaigns are in which state, by campaign."""
        rows = get_model("CampaignRecipient").filter(campaign_id__in=list(ids)).group_by("campaign_id", "state")
        found = await rows.annotate(n=Count("id")).values_list("campaign_id", "state", "n")
        counts: dict[int, Counter[str]] = {one: Counter() for one in ids}
        for campaign_id, state, n in found:
            counts[campaign_id][state] = n
        return counts

    # Feeding the queue.

    @classmethod
    @cron_method
    async def cron_feed(cls) -> Progress:
        """Start what is due, and keep the queue supplied with the mails of running campaigns, for some seconds."""
        moved, until = await cls._start_due(), monotonic() + _FEED_S
        while True:
            running = await cls.filter(state="running").order_by("id")
            done = sum([await campaign._step() for campaign in running])
            moved += done
            if not running or monotonic() >= until:
                break
            if not done:
                await asyncio.sleep(_LOOK_AGAIN_S)
        return Progress(moved, more=bool(running))

    @classmethod
    @cron_method
    async def cron_settle(cls) -> int:
        """Copy what is known of the mails of campaigns, before the queue forgets it; return how many those were.

        Of one that ended long ago nothing is heard any more.
        """
        begun = await cls.filter(started_at__isnull=False).exclude(
            finished_at__lt=now() - timedelta(days=_HEARD_OF_DAYS)
        )
        for campaign in begun:
            await campaign.catch_up()
        for of_list in await get_model("MailingList").all():
            await get_model("MailingSubscription").note_who_left(of_list)
        return len(begun)

    @classmethod
    async def _start_due(cls) -> int:
        """Start what is due; one that cannot be started is a draft again, and says why."""
        due = await cls.filter(state="scheduled", scheduled_at__lte=now()).order_by("id")
        for campaign in due:
            try:
                await campaign.start()
            except _FOR_A_PERSON as error:
                async with transaction():
                    with suppress(UserError):
                        await campaign._lock("be started", "scheduled")
                        await campaign._become("draft", scheduled_at=None, paused_reason=str(error)[:500])
        return len(due)

    async def _step(self) -> int:
        """Take note of what was sent, and queue the next batch where there is room; return how much that was."""
        moved = await settle_sending(self)
        room = _IN_QUEUE - await queued_count(self)
        if room > 0:
            try:
                moved += await feed(self, room)
            except _FOR_A_PERSON as error:
                # What is wrong with all of its mails is for a person to mend.
                with suppress(UserError):
                    await self.pause(str(error))
                return moved
        if await self.finish():
            moved += 1
        return moved

    async def _check_start(self) -> None:
        user = acting_user()
        if user is not None:
            self.user_id = user.pk
        await self.check()
        for mail in await rendered_for(self, await first_of(self)):
            if isinstance(mail, PostroomError):
                raise UserError(f'"{self.name}" cannot be sent: {mail}')
            async with rehearsal():
                await get_model("Message").queue_many([mail])

    async def _lock(self, what: str, *states: str) -> None:
        """Hold the stored row to the end of the transaction; UserError unless it is in one of these states."""
        stored = await type(self).select_for_update().get(id=self.pk)
        for name in self._meta.db_fields - {"id"}:
            setattr(self, name, getattr(stored, name))
        if stored.state not in states:
            raise UserError(f'"{self.name}" is {stored.state}; to {what} it must be {" or ".join(states)}.')

    async def _become(self, state: str, **values: Any) -> None:
        changed = {"state": state, **values}
        for name, value in changed.items():
            setattr(self, name, value)
        await self.save(update_fields=sorted(changed))

    async def _queued_messages(self) -> list[int]:
        rows = get_model("CampaignRecipient").filter(campaign_id=self.pk, state__in=OPEN, message_id__isnull=False)
        ids: list[int] = await rows.values_list("message_id", flat=True)
        return ids
