"""`postroom run | serve | worker`: the processes of a host."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from core.cli.command import command, configuration, host
from core.cli.logs import set_up_logs
from core.cli.output import Json, print_json
from core.config import Origin
from core.cron.runner import run_due
from core.cron.scheduler import scheduler
from core.delivery.engine import Engine
from core.errors import PostroomError
from core.gateway.fetch_watch import watch_mailboxes
from core.gateway.intake import deal_with_what_comes
from core.gateway.lmtp import listen
from core.gateway.receive import process_pending
from core.host.install import installed, update
from core.runtime import Runtime, get_model, this_worker
from core.webhooks.courier import Courier, deliver_webhooks

log = structlog.get_logger(__name__)


def add_to(app: typer.Typer) -> None:
    command(app, "run", is_service=True)(run)
    command(app, "serve", is_service=True)(serve)
    command(app, "worker", is_service=True)(worker)


async def run(
    demo: Annotated[
        bool | None,
        typer.Option("--demo/--no-demo", help="Load demo records into a new database (default: in development)."),
    ] = None,
    port: Annotated[int | None, typer.Option(help="Instead of HTTP_PORT.")] = None,
) -> None:
    """Run everything in one process: web pages, scheduler, queue.

    Brings the database up to date first. In development, mail goes to the dev mailbox unless MAIL_MODE says otherwise.

    Example: postroom run --demo
    """
    set_up_logs(service=True, form=configuration().settings.LOG_FORMAT)
    stop = _stop_event()
    async with host(current=False, **_run_overrides(port)) as runtime:
        settings = runtime.settings
        is_new = not await installed(runtime)
        with_demo = demo if demo is not None else settings.ENVIRONMENT == "development"
        report = await update(runtime, demo=with_demo and is_new)
        log.info("database up to date", changes=len(report.words), database=runtime.database.shown_url)
        login = await _first_login(runtime) if settings.ENVIRONMENT == "development" else None

        def announce(address: str) -> None:
            _print_welcome(runtime, address, login)

        await _all_until_stopped(stop, _web(runtime, stop, announce), _work(stop))


async def serve(port: Annotated[int | None, typer.Option(help="Instead of HTTP_PORT.")] = None) -> None:
    """Run the web pages and the API only; `postroom worker` does the rest.

    Example: postroom serve --port 9000
    """
    set_up_logs(service=True, form=configuration().settings.LOG_FORMAT)
    stop = _stop_event()
    overrides: dict[str, Any] = {} if port is None else {"HTTP_PORT": port}
    async with host(**overrides) as runtime:
        await _all_until_stopped(stop, _web(runtime, stop, lambda address: typer.echo(f"Serving {address}")))


async def worker(
    once: Annotated[bool, typer.Option("--once", help="Do what is due, then end.")] = False,
    as_json: Json = False,
) -> None:
    """Run the scheduler and the mail queue; several workers share one database.

    Example: postroom worker --once
    """
    set_up_logs(service=not once, form=configuration().settings.LOG_FORMAT)
    if once:
        async with host():
            await _once(as_json)
        return
    stop = _stop_event()
    async with host():
        with suppress(OSError):  # A full disk under the log keeps no mail waiting.
            typer.echo("Worker started; stop it with Ctrl+C.")
        await _all_until_stopped(stop, _work(stop))


async def _once(as_json: bool) -> None:
    processed = (await process_pending()).count
    ran = await run_due(this_worker())
    async with Engine() as engine:
        tried = await engine.drain()
    async with Courier() as courier:
        calls = await courier.drain()
    if as_json:
        print_json({"processed": processed, "cron_runs": ran, "deliveries": tried, "webhook_calls": calls})
    else:
        done = f"{processed} inbound mails dealt with, {ran} cron runs, {tried} deliveries tried"
        typer.echo(f"{done}, {calls} webhook calls made")


async def _work(stop: asyncio.Event) -> None:
    """Scheduler, queue, webhooks and what brings mail in, side by side; mail that a crash left in the spool first."""
    async with Engine() as engine, asyncio.TaskGroup() as group:
        group.create_task(deal_with_what_comes(stop))
        group.create_task(listen(stop))
        group.create_task(engine.run(stop))
        group.create_task(scheduler(this_worker(), stop))
        group.create_task(watch_mailboxes(stop))
        group.create_task(deliver_webhooks(stop))


async def _web(runtime: Runtime, stop: asyncio.Event, announce: Callable[[str], None]) -> None:
    from core.web.server import serve as serve_web  # The web framework is for processes that serve alone.

    await serve_web(runtime.settings.HTTP_HOST, runtime.settings.HTTP_PORT, stop, announce)


async def _all_until_stopped(stop: asyncio.Event, *parts: Coroutine[Any, Any, None]) -> None:
    """Run the parts side by side; when one fails, stop the others and raise what it raised."""

    async def guarded(part: Coroutine[Any, Any, None]) -> None:
        try:
            await part
        finally:
            stop.set()

    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(guarded(part))
    except* PostroomError as failed:
        raise failed.exceptions[0] from None


def _stop_event() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _run_overrides(port: int | None) -> dict[str, Any]:
    overrides: dict[str, Any] = {} if port is None else {"HTTP_PORT": port}
    asked = configuration()
    in_development = asked.settings.ENVIRONMENT == "development"
    if in_development and asked.origins.get("MAIL_MODE", Origin.default) is Origin.default:
        overrides["MAIL_MODE"] = "catch"
    port = asked.settings.HTTP_PORT if port is None else port
    if in_development and not asked.settings.BASE_URL and port:
        overrides["BASE_URL"] = f"http://{asked.settings.HTTP_HOST}:{port}"
    return overrides


async def _first_login(runtime: Runtime) -> tuple[str, str] | None:
    """Make the demo's administrator where there is no user yet; return its login and password, while that holds."""
    users = get_model("User")
    kept = Path(runtime.settings.VAR_DIR) / "demo_login"
    if not await users.exists():
        password = secrets.token_urlsafe(9)
        contact = await get_model("Contact").create(name="Demo Admin", email="admin@localhost")
        user = users(login="admin@localhost", name="Demo Admin", is_admin=True, contact=contact)
        await user.set_password(password)
        await user.save()
        descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"admin@localhost\n{password}\n")
    if not kept.is_file():
        return None
    login, password = kept.read_text().split()
    return (login, password) if await users.authenticate(login, password) else None


def _print_welcome(runtime: Runtime, address: str, login: tuple[str, str] | None) -> None:
    typer.echo(f"\n  Postroom is at {address}")
    if login:
        typer.echo(f"  Log in as      {login[0]}\n  Password       {login[1]}")
    if runtime.settings.MAIL_MODE == "catch":
        typer.echo(f"  Mail stays here: {address}/dev/mail")
    typer.echo("  Stop with Ctrl+C\n")
