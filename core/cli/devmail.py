"""`postroom devmail`: what the dev mailbox caught, and playing those it was for."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core.cli.command import LARGEST_ID, LARGEST_LIMIT, command, host
from core.cli.inbound import print_standing
from core.cli.output import Json, print_done, print_json, print_rows, shown
from core.errors import UnknownName, UserError
from core.runtime import get_model
from core.web.dev_mail import whole_as_json

_COLUMNS = ("id", "caught_at", "channel", "sender", "recipients", "subject")
CaughtId = Annotated[int, typer.Argument(max=LARGEST_ID, help="The id that `devmail ls` shows.")]
As = Annotated[str | None, typer.Option("--as", help="Which recipient to play; the first one by default.")]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See caught mail, and play those it was for.", no_args_is_help=True)
    app.add_typer(group, name="devmail")
    for function in (ls, show, reply, bounce, write, clear):
        command(group, function.__name__)(function)


async def ls(
    limit: Annotated[int, typer.Option(min=1, max=LARGEST_LIMIT, help="How many, the newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List caught mail.

    Example: postroom devmail ls
    """
    async with host():
        rows = await get_model("CaughtEmail").all().order_by("-id").limit(limit).values(*_COLUMNS, "message_id")
    empty = "Nothing is caught; MAIL_MODE catch keeps mail here."
    print_rows([dict(row) for row in rows], _COLUMNS, as_json=as_json, empty=empty)


async def show(
    caught_id: CaughtId,
    raw: Annotated[bool, typer.Option("--raw", help="Print the exact bytes of the mail instead.")] = False,
    as_json: Json = False,
) -> None:
    """Show a caught mail as its recipient sees it.

    Example: postroom devmail show 7
    """
    async with host():
        mail = await _caught(caught_id)
    if raw:
        typer.echo(bytes(mail.raw_mail), nl=False)
        return
    row = whole_as_json(mail)
    if as_json:
        print_json(row)
        return
    for name in ("sender", "recipients", "subject", "caught_at"):
        typer.echo(f"{name.replace('_', ' '):>10}  {shown(row[name])}")
    typer.echo("\n" + shown(row["text"]))
    for file in row["attachments"]:
        typer.echo(f"\nfile: {shown(file['name'])} ({file['content_type']}, {file['size_bytes']} bytes)")


async def reply(
    caught_id: CaughtId,
    text: Annotated[str, typer.Argument(help="What the recipient answers.")],
    recipient: As = None,
    automatic: Annotated[bool, typer.Option("--automatic", help="A machine answers: nobody is there.")] = False,
    as_json: Json = False,
) -> None:
    """Answer a caught mail as its recipient would.

    Example: postroom devmail reply 7 "Thank you, that suits us."
    """
    async with host():
        mail = await _caught(caught_id)
        if mail.channel != "email":
            message = await mail.text_back(text, recipient)
            print_done(f"It is message {message.pk}.", as_json=as_json, message=message.pk)
            return
        print_standing(await (mail.auto_reply(recipient) if automatic else mail.reply(text, recipient)), as_json)


async def bounce(caught_id: CaughtId, recipient: As = None, as_json: Json = False) -> None:
    """Report a caught mail as undeliverable, as its recipient's server would.

    Example: postroom devmail bounce 7
    """
    async with host():
        mail = await _caught(caught_id)
        if mail.channel != "email":
            raise UserError(f"{caught_id} is a text, which no server bounces.")
        print_standing(await mail.bounce(recipient), as_json)


async def write(
    to: Annotated[str, typer.Argument(help="An address of ours, such as leads@localhost.")],
    subject: Annotated[str, typer.Option(help="About what.")],
    text: Annotated[str, typer.Option(help="What it says.")],
    sender: Annotated[str, typer.Option("--from", help="Who writes it.")] = "somebody@customer.example",
    as_json: Json = False,
) -> None:
    """Write to an address of ours as somebody outside.

    Example: postroom devmail write leads@localhost --subject Desks --text "Do you make desks?"
    """
    async with host():
        print_standing(await get_model("CaughtEmail").write_to_us(sender, to, subject, text), as_json)


async def clear(as_json: Json = False) -> None:
    """Forget all caught mail.

    Example: postroom devmail clear
    """
    async with host():
        count = await get_model("CaughtEmail").all().delete()
    print_done(f"{count} caught mails are forgotten.", as_json=as_json, forgotten=count)


async def _caught(caught_id: int) -> Any:
    mail = await get_model("CaughtEmail").get_or_none(id=caught_id)
    if mail is None:
        raise UnknownName(f"There is no caught mail {caught_id}; see `postroom devmail ls`.")
    return mail
