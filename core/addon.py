"""Core as addon zero: its models, rules and hooks come through the same door as anyone's."""

from __future__ import annotations

from typing import Any

from core.contributions import GatewayRule
from core.events import announce
from core.gateway.rules.core import CORE_RULES
from core.gateway.values import Received
from core.hookspecs import hookimpl
from core.models.activity import Activity
from core.models.addon import Addon
from core.models.api_token import ApiToken
from core.models.attachment import Attachment
from core.models.attempt import Attempt
from core.models.audit_entry import AuditEntry
from core.models.automatic_answer import AutomaticAnswer
from core.models.caught_email import CaughtEmail
from core.models.company import Company
from core.models.contact import Contact
from core.models.cron_job import CronJob
from core.models.cron_run import CronRun
from core.models.delivery import Delivery
from core.models.dkim_key import DkimKey
from core.models.domain_pace import DomainPace
from core.models.email_route import EmailRoute
from core.models.email_signature import EmailSignature
from core.models.email_template import EmailTemplate
from core.models.email_template_variant import EmailTemplateVariant
from core.models.email_template_version import EmailTemplateVersion
from core.models.field_access import FieldAccess
from core.models.follower import Follower
from core.models.group import Group
from core.models.idempotency_key import IdempotencyKey
from core.models.inbound_email import InboundEmail
from core.models.inbound_raw import InboundRaw
from core.models.incoming_mail_server import IncomingMailServer
from core.models.live_event import LiveEvent
from core.models.login_try import LoginTry
from core.models.mail import Mail
from core.models.mail_account import MailAccount
from core.models.mail_event import MailEvent
from core.models.mail_folder import MailFolder
from core.models.mail_uid import MailUid
from core.models.message import Message
from core.models.model_access import ModelAccess
from core.models.model_registry import ModelRegistry
from core.models.notification import Notification
from core.models.oauth_account import OAuthAccount
from core.models.outgoing_mail_server import OutgoingMailServer
from core.models.pace_use import PaceUse
from core.models.password_reset import PasswordReset
from core.models.picture_sender import PictureSender
from core.models.queue_suspension import QueueSuspension
from core.models.receipt import Receipt
from core.models.record_rule import RecordRule
from core.models.report_action import ReportAction
from core.models.route_case import RouteCase
from core.models.schema_migration import SchemaMigration
from core.models.seed_record import SeedRecord
from core.models.server_pause import ServerPause
from core.models.suppression import Suppression
from core.models.team import Team
from core.models.text_template import TextTemplate
from core.models.tracking import Tracking
from core.models.tracking_event import TrackingEvent
from core.models.upload import Upload
from core.models.upload_chunk import UploadChunk
from core.models.user import User
from core.models.user_session import UserSession
from core.models.webhook import Webhook
from core.models.webhook_call import WebhookCall
from core.models.webhook_refusal import WebhookRefusal
from core.orm.feed import Change
from core.runtime import get_model


@hookimpl
def register_models() -> list[type]:
    return [
        Activity,
        Addon,
        ApiToken,
        Attachment,
        Attempt,
        AuditEntry,
        AutomaticAnswer,
        CaughtEmail,
        Company,
        Contact,
        CronJob,
        CronRun,
        Delivery,
        DkimKey,
        EmailRoute,
        EmailSignature,
        EmailTemplate,
        EmailTemplateVariant,
        EmailTemplateVersion,
        FieldAccess,
        Follower,
        Group,
        InboundEmail,
        InboundRaw,
        IncomingMailServer,
        LiveEvent,
        LoginTry,
        Mail,
        MailAccount,
        MailEvent,
        MailFolder,
        MailUid,
        Message,
        ModelAccess,
        ModelRegistry,
        Notification,
        OAuthAccount,
        OutgoingMailServer,
        Receipt,
        RecordRule,
        ReportAction,
        RouteCase,
        SchemaMigration,
        SeedRecord,
        ServerPause,
        Suppression,
        Team,
        TextTemplate,
        Tracking,
        DomainPace,
        IdempotencyKey,
        PaceUse,
        PasswordReset,
        PictureSender,
        QueueSuspension,
        TrackingEvent,
        Upload,
        UploadChunk,
        User,
        UserSession,
        Webhook,
        WebhookCall,
        WebhookRefusal,
    ]


@hookimpl
def register_gateway_rules() -> tuple[GatewayRule, ...]:
    return CORE_RULES


@hookimpl
async def message_posted(message: Any) -> None:
    """Tell those who watch the record's timeline."""
    if message.res_id is not None:
        inside = message.kind == "note" or message.send_state == "Draft"
        await announce(
            Change.of_timeline(message.res_model, message.res_id, message.pk, message.send_state, inside=inside)
        )


@hookimpl
async def record_updated(record: Any) -> None:
    """Tell those who watch the record's timeline, on which the change stands."""
    await announce(Change(f"record:{type(record).__name__}:{record.pk}"))


@hookimpl
async def record_deleted(record: Any) -> None:
    """Mail in the spool no longer says that it became a record that is gone."""
    await announce(Change(f"record:{type(record).__name__}:{record.pk}"))
    became_it = {"res_model": type(record).__name__, "res_id": record.pk}
    await get_model("InboundEmail").filter(**became_it).update(res_model=None, res_id=None)


@hookimpl
async def email_unmatched(email: Received) -> None:
    """Tell the administrators that mail waits for a person; once, until they have looked."""
    await get_model("Notification").tell_admins(
        "Mail waits for a person",
        f"A mail from {email.sender or 'nobody'} matched no reply, no alias and no rule. It is kept in the inbox, "
        "and so are those that come after it.",
    )


@hookimpl
async def cron_finished(job: Any, run: Any) -> None:
    """Tell the administrators that a job was switched off after too many failures."""
    if job.status == "off":
        await get_model("Notification").tell_admins(
            f"The job “{job.name}” was switched off",
            f"It has failed {job.failure_count} times, the last time because: {run.error or run.outcome}. "
            "Mend the cause, then switch the job on again.",
        )
