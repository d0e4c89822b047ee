"""Commands that addons bring: `postroom <word> <command>`. Addons are loaded only where a word may name one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core.cli.command import configuration, finish, host
from core.cli.output import Json, print_rows
from core.config import Settings
from core.contributions import AddonInfo, Command
from core.errors import PostroomError
from core.host.finder import find_addons
from core.host.graph import dependency_order


def add_addon_commands(app: typer.Typer, words: list[str]) -> None:
    """Add the addons' commands, unless the first word is a command of ours; where there is no word, their names."""
    ours = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    first = next((word for word in words if not word.startswith("-")), None)
    if first in ours or (first is None and "--help" not in words):
        return
    try:
        settings = configuration().settings
        if first is None:
            _list(app, settings)
        else:
            _load(app, settings)
    except PostroomError:
        return  # Whatever command runs tells this fault; help must work without addons.


def _list(app: typer.Typer, settings: Settings) -> None:
    found, _ = find_addons(settings.ADDONS_PATH)
    order, _ = dependency_order(settings.ADDONS or tuple(found), {name: one.depends for name, one in found.items()})
    for addon in (found[name] for name in order):
        hooks = addon.folder / "hooks.py"
        if hooks.is_file() and "def register_commands" in hooks.read_text(encoding="utf-8"):
            app.add_typer(_group(addon), name=_word(addon))


def _load(app: typer.Typer, settings: Settings) -> None:
    # Loading addons brings the ORM; only their own commands need it.
    from core.host.loader import load_addons

    loaded = load_addons(settings.ADDONS, settings.ADDONS_PATH)
    sources = {one.name: one for one in loaded.sources}
    groups: dict[str, typer.Typer] = {}
    for addon, contribution in loaded.contributions.commands:
        if addon not in groups:
            groups[addon] = _group(sources[addon])
            app.add_typer(groups[addon], name=_word(sources[addon]))
        _add(groups[addon], _word(sources[addon]), contribution)
    loaded.registry.close()


def _word(addon: AddonInfo) -> str:
    """Return what the addon's commands stand behind."""
    return addon.commands or addon.name


def _group(addon: AddonInfo) -> typer.Typer:
    return typer.Typer(help=f"Commands of {addon.title}.", no_args_is_help=True, callback=_nothing)


def _nothing() -> None:
    """What is called before an addon's command; Typer lists no group that has neither this nor a command."""


def _add(group: typer.Typer, word: str, contribution: Command) -> None:
    def run(words: Annotated[list[str] | None, typer.Argument()] = None, as_json: Json = False) -> None:
        async def work() -> Any:
            async with host():
                answer = await contribution.run(words or [])
            if not isinstance(answer, list):
                return answer
            print_rows(answer, answer[0] if answer else (), as_json=as_json, empty="There is none.")
            return 0

        finish(work)

    example = " ".join(("postroom", word, contribution.name, contribution.example)).rstrip()
    group.command(contribution.name, help=f"{contribution.help}\n\nExample: {example}")(run)
