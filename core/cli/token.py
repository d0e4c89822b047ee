"""`postroom token`: what programs log in with."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from core import clock
from core.cli.command import command, host
from core.cli.output import Json, print_done, print_json, print_rows
from core.errors import UnknownName
from core.pattern import pattern
from core.runtime import get_model

_DURATION = pattern(r"([1-9][0-9]{0,4})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_COLUMNS = ("login", "name", "prefix", "scopes", "expires_at", "last_used_at", "last_used_from", "revoked_at")


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See, make and revoke the tokens of programs.", no_args_is_help=True)
    app.add_typer(group, name="token")
    command(group, "create")(create)
    command(group, "ls")(ls)
    command(group, "revoke")(revoke)


async def create(
    login: Annotated[str, typer.Argument(help="The user on whose behalf the program acts.")],
    name: Annotated[str, typer.Option(help="What the token is for.")],
    scope: Annotated[list[str] | None, typer.Option(help="read, write, mail or admin; may be repeated.")] = None,
    expires: Annotated[str | None, typer.Option(help="How long it holds: 12h, 90d, 52w. For ever by default.")] = None,
    as_json: Json = False,
) -> None:
    """Make a token and print it, this once: only its hash is kept. Reads only, unless scopes say otherwise.

    Example: postroom token create anna@example.org --name reports --scope read --expires 90d
    """
    expires_at = clock.now() + _duration(expires) if expires else None
    async with host():
        user = await get_model("User").get_or_none(login=login.strip().casefold())
        if user is None:
            raise UnknownName(f"There is no user {login}; see `postroom user ls`.")
        token, text = await get_model("ApiToken").issue(user, name, scope or ["read"], expires_at=expires_at)
        if as_json:
            print_json({**_shown(token, user.login), "token": text})
        else:
            typer.echo(text)


async def ls(
    login: Annotated[str | None, typer.Argument(help="Of this user alone.")] = None, as_json: Json = False
) -> None:
    """List the tokens, the newest first.

    Example: postroom token ls
    """
    async with host():
        tokens = get_model("ApiToken").all() if login is None else get_model("ApiToken").filter(
            user__login=login.strip().casefold()
        )  # fmt: skip
        rows = [_shown(one, one.user.login) for one in await tokens.order_by("-id").select_related("user")]
        print_rows(rows, _COLUMNS, as_json=as_json, empty="No tokens; make one with `postroom token create`.")


async def revoke(
    prefix: Annotated[str, typer.Argument(help="The token's prefix, or its whole text.")], as_json: Json = False
) -> None:
    """End a token, from its next request on.

    Example: postroom token revoke 0a1b2c3d4e5f
    """
    async with host():
        wanted = prefix.removeprefix("pr_").partition("_")[0]
        token = await get_model("ApiToken").get_or_none(prefix=wanted).select_related("user")
        if token is None:
            raise UnknownName(f"There is no token {wanted}; see `postroom token ls`.")
        await token.revoke()
    said = f"{token.name} of {token.user.login} is revoked."
    print_done(said, as_json=as_json, **_shown(token, token.user.login))


def _shown(token: Any, login: str) -> dict[str, Any]:
    return {"login": login, **{name: getattr(token, name) for name in _COLUMNS[1:]}, "created_at": token.created_at}


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text} is no time to hold for; write 12h, 90d or 52w.")
    return int(found[1]) * _UNITS[found[2]]
