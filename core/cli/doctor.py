"""`postroom doctor`: is everything as it should be, and if not, what to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from shlex import quote

import typer

from core import clock
from core.cli.command import EXIT_FAILED, command, configuration, host
from core.cli.output import Json, print_json
from core.config import Settings
from core.delivery.servers import overview
from core.delivery.signing import signers
from core.delivery.state import queue_stats
from core.delivery.suspension import suspension
from core.errors import PostroomError
from core.mail.published import Finding
from core.orm.schema import schema_differs
from core.runtime import Runtime, get_model

_LEAST_FREE_BYTES = 500_000_000
_LATE = timedelta(minutes=10)
_LATELY = timedelta(days=1)
_ENDS_SOON = timedelta(days=7)


def add_to(app: typer.Typer) -> None:
    command(app, "doctor")(doctor)


async def doctor(as_json: Json = False) -> int:
    """Check configuration, database, disk, mail set-up and workers; say how to mend what is wrong.

    Example: postroom doctor
    """
    findings = [finding async for finding in _examine()]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            typer.echo(f"{'ok  ' if finding.ok else 'WARN'} {finding.name:12} {finding.detail}")
            if not finding.ok:
                typer.echo(f"     {'':12} -> {finding.fix}")
    return 0 if all(finding.ok for finding in findings) else EXIT_FAILED


async def _examine() -> AsyncIterator[Finding]:
    settings = configuration().settings
    yield Finding("config", True, f"{settings.ENVIRONMENT}, mail mode {settings.MAIL_MODE}")
    yield _disk(settings)
    for finding in _mail(settings):
        yield finding
    try:
        async with host(current=False) as runtime:
            yield Finding("addons", True, ", ".join(one.name for one in runtime.addons))
            yield Finding("database", True, runtime.database.shown_url)
            differences = await schema_differs(runtime.database, runtime.addons)
            yield Finding("schema", not differences, f"{len(differences)} differences", "run `postroom update`")
            if not differences:
                async for finding in _servers(runtime):
                    yield finding
                yield await _signing()
                yield await _queue()
                yield await _inbound()
                async for finding in _mailboxes():
                    yield finding
                yield await _cron()
                yield await _webhooks()
    except PostroomError as error:
        yield Finding("host", False, str(error), "mend what it names, then run `postroom doctor` again")


def _disk(settings: Settings) -> Finding:
    folder = Path(settings.VAR_DIR)
    place = folder if folder.is_dir() else Path.cwd()
    free = shutil.disk_usage(place).free
    writable = os.access(place, os.W_OK)
    detail = f"{free // 1_000_000} MB free in {place}" + ("" if writable else ", and it cannot be written")
    return Finding("disk", writable and free > _LEAST_FREE_BYTES, detail, "free some space, or set VAR_DIR elsewhere")


def _mail(settings: Settings) -> list[Finding]:
    in_production = settings.ENVIRONMENT == "production"
    means = {"live": "", "catch": ": mail stays in the dev mailbox", "hold": ": mail is queued, and none is sent"}
    return [
        Finding(
            "mail mode",
            settings.MAIL_MODE == "live" or (settings.MAIL_MODE == "catch" and not in_production),
            settings.MAIL_MODE + means[settings.MAIL_MODE],
            "set MAIL_MODE: live, or nothing leaves this machine",
        ),
        Finding(
            "mail domain",
            not (in_production and settings.MAIL_DOMAIN == "localhost"),
            settings.MAIL_DOMAIN,
            "set MAIL_DOMAIN to the domain of your aliases, or replies do not come back",
        ),
        Finding(
            "base url",
            bool(settings.BASE_URL) or not in_production,
            settings.BASE_URL or "not set",
            "set BASE_URL to this host's public address",
        ),
    ]


async def _servers(runtime: Runtime) -> AsyncIterator[Finding]:
    servers = [one for one in await overview() if one.is_active]
    stopped = [one for one in servers if one.state != "used"]
    detail, fix = f"{len(servers)} outgoing servers", "set SMTP_SERVER, or make an OutgoingMailServer"
    if stopped:
        detail = f"{len(stopped)} paused or failing: " + "; ".join(f"{one.name}: {one.reason}" for one in stopped)
        fix = "run " + ", ".join(f"`postroom server test {quote(one.name)}`" for one in stopped)
    enough = bool(servers) or runtime.settings.MAIL_MODE != "live"
    yield Finding("smtp", enough and not stopped, detail, fix)
    risks = [f"{one.name}: {', '.join(one.server.risks)}" for one in servers if one.server and one.server.risks]
    if risks:
        yield Finding("smtp safety", False, "; ".join(risks), "see docs/mail-servers.md, unless that is as you want it")
    async for finding in _sign_ins():
        yield finding


async def _sign_ins() -> AsyncIterator[Finding]:
    for account in await get_model("OAuthAccount").all().order_by("name"):
        ends_at = account.refresh_until_at
        is_ending = ends_at is not None and ends_at < clock.now() + _ENDS_SOON
        detail = account.fault or (f"ends on {ends_at:%Y-%m-%d}" if is_ending else account.last_error or "signed in")
        fix = f"run `postroom server authorize {quote(account.name)}`"
        yield Finding("sign-in", not (account.fault or is_ending), f"{account.name}: {detail}", fix)


async def _signing() -> Finding:
    domains = await get_model("DkimKey").filter(active=True).distinct().values_list("domain", flat=True)
    faults = [fault for signer in (await signers(domains)).values() for fault in signer.faults]
    detail = " ".join(faults) or f"{len(set(domains))} domains with DKIM keys"
    return Finding("signing", not faults, detail, "see `postroom dkim ls`; mail that no key can sign is not sent")


async def _queue() -> Finding:
    counts = await queue_stats()
    late = await get_model("Delivery").filter(state="queued", due_at__lt=clock.now() - _LATE).count()
    detail = f"{counts['Queued']} queued, {counts['Failed']} failed, {counts['Unknown']} unknown, {late} late"
    stopped = await suspension()
    if stopped is not None:
        return Finding(
            "queue", False, f"{detail}; suspended: {stopped.reason or 'no reason given'}", "postroom queue resume"
        )
    if late:
        return Finding("queue", False, detail, "start a worker: `postroom worker`")
    fix = "nobody knows whether these arrived: see `postroom queue ls --state Unknown`, and `postroom queue show ID`"
    return Finding("queue", not counts["Unknown"], detail, fix)


async def _inbound() -> Finding:
    mails = get_model("InboundEmail")
    quarantined = await mails.filter(state="quarantined").count()
    unmatched = await mails.filter(state="unmatched").count()
    late = await mails.filter(state="received", received_at__lt=clock.now() - _LATE).count()
    detail = f"{unmatched} unmatched, {quarantined} quarantined, {late} late"
    if late:
        return Finding("inbound", False, detail, "start a worker: `postroom worker`; see `postroom inbound ls`")
    return Finding("inbound", not quarantined, detail, "see `postroom inbound quarantine`")


async def _mailboxes() -> AsyncIterator[Finding]:
    for server in await get_model("IncomingMailServer").all().order_by("name"):
        is_over = not server.active and server.failing_since_at is not None
        detail = f"switched off: {server.last_error}" if is_over else server.last_error
        fix = server.last_hint or f"run `postroom server test {quote(server.name)}`"
        seen_at = server.last_success_at
        if not detail and server.active and seen_at is not None and seen_at < clock.now() - _LATELY:
            detail, fix = "not visited since yesterday", "start a worker: `postroom worker`"
        if detail and (server.active or is_over):
            yield Finding("mailbox", False, f"{server.name}: {detail}", fix)


async def _cron() -> Finding:
    jobs = get_model("CronJob")
    late = await jobs.filter(active=True, next_run__lt=clock.now() - _LATE).count()
    failing = await jobs.filter(failure_count__gt=0).count()
    detail = f"{await jobs.filter(active=True).count()} active jobs, {late} late, {failing} failing"
    return Finding("cron", not (late or failing), detail, "start a worker, and see `postroom cron ls`")


async def _webhooks() -> Finding:
    refused = await get_model("WebhookRefusal").filter(last_at__gt=clock.now() - _LATELY).order_by("-last_at")
    count = sum(one.count for one in refused)
    last = f", the last one because {refused[0].reason}" if refused else ""
    fix = "give your mail provider the WEBHOOK_SECRET of this host; strangers' calls end here after a day"
    return Finding("webhooks", not refused, f"{count} calls refused since yesterday{last}", fix)
