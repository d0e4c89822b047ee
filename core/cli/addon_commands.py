"""Commands that addons bring: `postroom <addon> <command>`. Addons are loaded only where the words ask for one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core.cli.command import configuration, finish, host
from core.contributions import Command
from core.errors import PostroomError


def add_addon_commands(app: typer.Typer, words: list[str]) -> None:
    """Add the addons' commands, unless the first word is a command of ours."""
    ours = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    first = next((word for word in words if not word.startswith("-")), None)
    if first in ours or (first is None and "--help" not in words):
        return
    # Loading addons brings the ORM; only their own commands, and the list of all, need it.
    from core.host.loader import load_addons

    try:
        settings = configuration().settings
        loaded = load_addons(settings.ADDONS, settings.ADDONS_PATH)
    except PostroomError:
        return  # Whatever command runs tells this fault; help must work without addons.
    groups: dict[str, typer.Typer] = {}
    for addon, contribution in loaded.contributions.commands:
        if addon not in groups:
            title = next(one.title for one in loaded.sources if one.name == addon)
            groups[addon] = typer.Typer(help=f"Commands of {title}.", no_args_is_help=True)
            app.add_typer(groups[addon], name=addon)
        _add(groups[addon], contribution)
    loaded.registry.close()


def _add(group: typer.Typer, contribution: Command) -> None:
    def run(words: Annotated[list[str] | None, typer.Argument()] = None) -> None:
        async def work() -> Any:
            async with host():
                return await contribution.run(words or [])

        finish(work)

    group.command(contribution.name, help=contribution.help)(run)
