"""How a command runs: inside an open host, awaited, with errors told as "what, why, do this" and an exit code.

Exit codes: 0 ok, 1 failed, 2 usage, 3 temporary (the same call may work later). Typer would take an `async def` and
never await it; `command` below awaits it.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from core.config import Configuration, load_configuration
from core.errors import PostroomError, TemporaryFailure
from core.runtime import Caller, called_by

if TYPE_CHECKING:
    from core.runtime import Runtime

EXIT_FAILED, EXIT_USAGE, EXIT_TEMPORARY = 1, 2, 3
LARGEST_ID = 2**63 - 1
LARGEST_LIMIT = 2**31 - 1
"""What either database takes."""
_NEW_OBJECTS = 10_000


@dataclass(frozen=True, slots=True)
class Options:
    """What the words before the command said."""

    config: Path | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)


options: ContextVar[Options] = ContextVar("postroom_cli_options")


def configuration(**overrides: Any) -> Configuration:
    """Read the configuration that the command line asks for; `overrides` are this command's own."""
    asked = options.get(Options())
    return load_configuration(asked.config, overrides={**asked.overrides, **overrides})


def read_input(largest_bytes: int = -1) -> bytes:
    """Read what was given on standard input."""
    if sys.stdin is None:
        raise typer.BadParameter("There is no standard input; name a file, or give the command one.")
    return sys.stdin.buffer.read(largest_bytes)


def record_named(reference: str) -> tuple[str, int]:
    """Read the model and the id that stand behind `MODEL:ID`."""
    model, _, number = reference.partition(":")
    if not (model and number.isascii() and number.isdecimal() and len(number) < len(str(LARGEST_ID))):
        raise typer.BadParameter(f'"{reference}" names no record; write a model and an id, such as CrmLead:7.')
    return model, int(number)


@contextmanager
def loading() -> Iterator[None]:
    """Look for no garbage while something is loaded, nor ever again in it: it stays, and it is much.

    In what is made from then on it is looked for after so many objects, as a mail is hundreds and hardly one a cycle.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(_NEW_OBJECTS)
        gc.enable()


@asynccontextmanager
async def host(*, current: bool = True, **overrides: Any) -> AsyncIterator[Runtime]:
    """Open the host; with `current`, only where the database is up to date with the addons.

    Raises PostroomError for what the database refuses meanwhile, TemporaryFailure where it is away, full or busy.
    """
    with loading():
        # The host brings the ORM and the template engine, which help and `postroom config` can do without.
        from core.host.host import open_host
        from core.orm.outage import database_errors, is_outage
        from core.orm.schema import require_current_schema

    try:
        async with AsyncExitStack() as stack:
            with loading():
                runtime = await stack.enter_async_context(open_host(configuration(**overrides)))
            if current:
                await require_current_schema(runtime.database, runtime.addons)
            yield runtime
    except (PostroomError, BrokenPipeError):
        raise
    except database_errors() as error:
        if is_outage(error):
            raise TemporaryFailure(f"It cannot be done now: {error}. See `postroom doctor`, then try again.") from error
        raise PostroomError(f"The database refused: {error}") from error


def command(
    app: typer.Typer, name: str | None = None, *, is_service: bool = False, **settings: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a function, async or not, as a command; its errors become messages and exit codes.

    A service runs on uvloop where there is one, which is everywhere but on Windows and PyPy.
    """

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*arguments: Any, **keywords: Any) -> None:
            called = Caller() if is_service else Caller(command=_name_of(function))
            with called_by(called):
                finish(lambda: function(*arguments, **keywords), is_service=is_service)

        app.command(name, **settings)(run)
        return function

    return add


def _name_of(function: Callable[..., Any]) -> str:
    """Return `user add` for the function `add` of the file `user`, and `doctor` for that of its own."""
    file = function.__module__.rpartition(".")[2]
    return file if function.__name__ == file else f"{file} {function.__name__}"


def finish(call: Callable[[], Any], *, is_service: bool = False) -> None:
    """Call, await what comes back if it is a coroutine, and turn what it raises into an exit code."""
    try:
        result = call()
        if inspect.iscoroutine(result):
            with asyncio.Runner(loop_factory=_fast_loop() if is_service else None) as runner:
                result = runner.run(_cancelled_by_sigterm(result))
    except PostroomError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:
        _drop_what_cannot_be_written()
        raise typer.Exit(EXIT_FAILED) from None
    except OSError as error:
        _drop_what_cannot_be_written()
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_TEMPORARY) from None
    except KeyboardInterrupt:
        raise typer.Exit(128 + signal.SIGINT) from None
    except asyncio.CancelledError:
        raise typer.Exit(128 + signal.SIGTERM) from None
    if isinstance(result, int) and not isinstance(result, bool):
        raise typer.Exit(result)


def _drop_what_cannot_be_written() -> None:
    """Let the interpreter's end not try again to write what was refused, which is an exit code of its own, 120."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


async def _cancelled_by_sigterm(work: Coroutine[Any, Any, Any]) -> Any:
    """Await the work; the first SIGTERM lets it give back what it holds, as Ctrl+C does, and the second one ends it."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def cancel(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        loop.call_soon_threadsafe(task.cancel)

    before = signal.signal(signal.SIGTERM, cancel)
    try:
        return await work
    finally:
        signal.signal(signal.SIGTERM, before)


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if find_spec("uvloop") is None:
        return None
    import uvloop  # Only services gain by it.

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
