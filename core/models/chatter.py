"""`Chatter`: the mix-in that gives a model its timeline.

Messages leave by mail, notes never do. Changes of the fields in `_track` become one entry per transaction. The
timeline's access is the record's access.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from functools import partial
from typing import Any, ClassVar, Self

from tortoise.expressions import Q
from tortoise.query_utils import Prefetch

from core.delivery.channel import channel_named
from core.errors import UserError
from core.events import tell
from core.mail.address import normalised
from core.mail.thread import ids_in, references_of
from core.models.rendering import related
from core.models.tracked import changes_between, tracked_values
from core.orm.insert import insert_many
from core.orm.record import Record
from core.orm.transaction import Transaction, transaction
from core.runtime import acting_user, get_model, runtime


class Chatter(Record):
    """Messages, notes, followers, activities and tracked changes on a record.

    A model that mixes it in may set `_track` (names of fields whose changes are shown), `_on_unknown` ("hold" where a
    mail of doubtful fate must not be repeated by itself) and override `_collaborate_contact` (whom the record is
    about). Mail to an alias may create its records.
    """

    abstract = True
    _track: ClassVar[tuple[str, ...]] = ()
    _accepts_email: ClassVar[bool] = True
    _on_unknown: ClassVar[str | None] = None

    async def _collaborate_contact(self) -> Any:
        """Return the Contact that this record is discussed with, or None: by default that of a `contact` field."""
        return await related(self, "contact") if "contact" in self._meta.fk_fields else None

    # Writing to the timeline.

    async def post_message(
        self,
        body: str,
        *,
        subject: str = "",
        author: Any = None,
        to: Sequence[str] | None = None,
        attachments: Sequence[Any] = (),
        **options: Any,
    ) -> Any:
        """Add a message and queue it for its recipients; returns the Message.

        `to` are addresses; None means the record's correspondent and its followers. `options` are further keywords of
        `Message.queue_email`. Without any recipient the message stays on the timeline and nothing is sent.
        """
        recipients = list(to) if to is not None else await self.message_recipients(author)
        async with transaction():
            message = self._entry("message", author, subject=subject or self.display_name, body=body)
            if recipients or options.get("cc") or options.get("bcc"):
                previous = None if options.get("in_reply_to") else await self._previous_mail()
                if previous is not None:
                    message.parent = previous
                    message.in_reply_to = previous.message_id
                    message.thread_references = references_of(
                        [*ids_in(previous.thread_references), previous.message_id]
                    )
                options.setdefault("track", True)
                await get_model("Message").queue_email(
                    author, recipients, message.subject, body, attachments, message=message, **options
                )
            else:
                await message.save()
                await message.attachments.add(*attachments)
            await self._notify(message, author)
            await tell("message_posted", message=message)
        return message

    async def send_message(
        self,
        text: str = "",
        *,
        channel: str = "",
        author: Any = None,
        to: Sequence[str] | None = None,
        template: str | None = None,
        **options: Any,
    ) -> Any:
        """Send a text by a channel beside e-mail, such as "sms", and show it here; returns the Message.

        `to` are addresses; None means the record's correspondent. With `template`, text and channel are those of that
        TextTemplate. `options` are further keywords of `Message.queue_message`. Raises UserError where there is nobody
        to send to.
        """
        if template is not None:
            made = await self._from_text_template(template)
            text, channel = text or made["text"], channel or made["channel"]
            options = {"options": made["options"], **options}
        recipients = list(to) if to is not None else await self.channel_recipients(channel)
        if not recipients:
            raise UserError(f"{self.display_name} has nobody with an address for {channel}; give one.")
        async with transaction():
            message = self._entry("message", author)
            await get_model("Message").queue_message(channel, author, recipients, text, message=message, **options)
            await self._notify(message, author)
            await tell("message_posted", message=message)
        return message

    async def channel_recipients(self, channel: str) -> list[str]:
        """Return whom a channel's message goes to by default: the correspondent, where that contact has an address."""
        contact = await self._collaborate_contact()
        names = channel_named(channel).contact_fields
        return [address for name in names if (address := getattr(contact, name, ""))][:1]

    async def post_note(
        self, body: str, *, author: Any = None, mentions: Iterable[Any] = (), attachments: Sequence[Any] = ()
    ) -> Any:
        """Add an internal note. It never leaves by mail; `mentions` (Users) are told in the application."""
        async with transaction():
            message = self._entry("note", author, body=body)
            await message.save()
            await message.attachments.add(*attachments)
            await self._notify(message, author, mentions)
            await tell("message_posted", message=message)
        return message

    async def message_recipients(self, author: Any = None) -> list[str]:
        """Return whom a message goes to by default: correspondent and followers, each once, without the author."""
        correspondent = await self._collaborate_contact()
        contacts = [correspondent] if correspondent is not None else []
        contacts += await self.followers()
        own = getattr(author, "contact_id", None)
        addresses: dict[str, str] = {}
        for contact in contacts:
            if contact.email and contact.pk != own:
                addresses.setdefault(normalised(contact.email), contact.email)
        return list(addresses.values())

    async def send_template(self, identifier: str, *, author: Any = None, **options: Any) -> Any:
        """Render an EmailTemplate for this record and post it as a message, its report attached as PDF.

        `options` override what the template says (`to`, `cc`, `subject`, ...). Raises TemplateError, RenderError or
        UserError before anything is queued.
        """
        templates = get_model("EmailTemplate")
        template = await templates.get_or_none(identifier=identifier, active=True)
        if template is None:
            raise UserError(f'There is no active EmailTemplate "{identifier}"; see `postroom template ls`.')
        mail = await template.mail_for(self, **options)
        return await self.post_message(mail.pop("body"), author=author, **mail)

    async def _from_text_template(self, identifier: str) -> dict[str, Any]:
        template = await get_model("TextTemplate").get_or_none(identifier=identifier, active=True)
        if template is None:
            raise UserError(f'There is no active TextTemplate "{identifier}".')
        return {**await template.render_for(self), "channel": template.channel}

    async def timeline(self, limit: int = 50, before: int | None = None) -> list[Any]:
        """Return the newest entries first; `before` is an entry's id.

        Changes, deliveries and attachments are loaded, but not the files' bytes.
        """
        files = Prefetch("attachments", queryset=get_model("Attachment").without_content())
        entries = get_model("Message").filter(res_model=type(self).__name__, res_id=self.pk)
        if before is not None:
            entries = entries.filter(id__lt=before)
        loaded: list[Any] = (
            await entries.order_by("-id")
            .limit(limit)
            .prefetch_related("changes", files, "author", "author_contact", "deliveries")
        )
        return loaded

    # Followers and activities.

    async def follow(self, contact: Any, reason: str = "") -> Any:
        """Let a contact follow this record; a second call changes nothing."""
        follower, _ = await get_model("Follower").get_or_create(
            res_model=type(self).__name__, res_id=self.pk, contact_id=contact.pk, defaults={"reason": reason}
        )
        return follower

    async def unfollow(self, contact: Any) -> None:
        """Let a contact follow this record no longer."""
        await (
            get_model("Follower").filter(res_model=type(self).__name__, res_id=self.pk, contact_id=contact.pk).delete()
        )

    async def followers(self) -> list[Any]:
        """Return the contacts that follow this record, in the order in which they came."""
        rows = await get_model("Follower").filter(
            res_model=type(self).__name__, res_id=self.pk
        ).order_by("id").prefetch_related("contact")  # fmt: skip
        return [row.contact for row in rows]

    async def schedule_activity(
        self, kind: str, due_on: date, *, summary: str = "", note: str = "", assignee: Any = None
    ) -> Any:
        """Give somebody something to do about this record."""
        return await get_model("Activity").create(
            res_model=type(self).__name__,
            res_id=self.pk,
            kind=kind,
            due_on=due_on,
            summary=summary,
            note=note,
            assignee=assignee,
        )

    # Storing.

    async def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the record, with its tracked changes, and tell the addons once it is durable."""
        if not self._saved_in_db:
            async with transaction() as running:
                await super().save(*args, **kwargs)
                # What follows in this transaction still makes the record, and changes nothing.
                running.memo[("tracked", type(self).__name__, self.pk)] = None
                await tell("record_created", record=self)
            return
        if not self._track:
            await super().save(*args, **kwargs)
            return
        async with transaction() as running:
            key = ("tracked", type(self).__name__, self.pk)
            if key not in running.memo:
                running.memo[key] = await self._stored()
                running.before_commit(partial(self._write_changes, running, key))
            await super().save(*args, **kwargs)

    @classmethod
    async def save_many(cls, records: Sequence[Any]) -> None:
        """Store new records of this model, and tell the addons once they are durable: together, or one by one where an
        addon's own `save` is to see each.
        """
        async with transaction() as running:
            if cls.save is not Chatter.save:
                for record in records:
                    await record.save()
                return
            await insert_many(runtime().database, records)
            for record in records:
                running.memo[("tracked", cls.__name__, record.pk)] = None
                await tell("record_created", record=record)

    async def delete(self, *args: Any, **kwargs: Any) -> None:
        """Delete the record with its timeline, followers and activities."""
        async with transaction():
            of_this = {"res_model": type(self).__name__, "res_id": self.pk}
            for name in ("Message", "Follower", "Activity", "Attachment"):
                await get_model(name).filter(**of_this).delete()
            await super().delete(*args, **kwargs)
            await tell("record_deleted", record=self)

    async def _stored(self) -> Self | None:
        return await type(self).get_or_none(id=self.pk)

    async def _write_changes(self, running: Transaction, key: tuple[str, str, int]) -> None:
        """Write what changed between the first save of the transaction and its end, if anything did."""
        before, after = running.memo.pop(key), await self._stored()
        if before is None or after is None:
            return
        old, new = await tracked_values(before, self._track), await tracked_values(after, self._track)
        changes = changes_between(old, new)
        if not changes:
            return
        entry = self._entry("tracking", acting_user())
        await entry.save()
        model = get_model("Tracking")
        await model.bulk_create([model(message=entry, **change) for change in changes])
        changed = {str(change["field"]): old[str(change["field"])].value for change in changes}
        await tell("record_updated", record=after, changed=changed)

    def _entry(self, kind: str, author: Any, **values: Any) -> Any:
        return get_model("Message")(
            res_model=type(self).__name__,
            res_id=self.pk,
            kind=kind,
            direction="Internal",
            on_unknown=self._on_unknown,
            author=author,
            company_id=getattr(self, "company_id", None),
            **values,
        )

    async def _previous_mail(self) -> Any:
        """Return the latest mail of this record that others may see, which a new one continues."""
        mails = get_model("Message").filter(
            res_model=type(self).__name__, res_id=self.pk, kind="message", message_id__isnull=False
        )
        # One that was taken back reached nobody, so nothing can answer it. An inbound mail has no send_state.
        left = Q(send_state__isnull=True) | Q(send_state__not_in=("Draft", "Cancelled"))
        return await mails.filter(left).order_by("-id").first()

    async def _notify(self, message: Any, author: Any, mentions: Iterable[Any] = ()) -> None:
        """Tell users who follow the record, or are mentioned, inside the application."""
        contact_ids = [contact.pk for contact in await self.followers()]
        users = await get_model("User").filter(contact_id__in=contact_ids, active=True) if contact_ids else []
        readers = {user.pk: user for user in (*users, *mentions)}
        readers.pop(getattr(author, "pk", None), None)
        await get_model("Notification").tell((message, user_id) for user_id in readers)
