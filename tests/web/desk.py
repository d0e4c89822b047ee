"""The addon that the web tests run on: tickets with a timeline, written into a folder for one test."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

_FILES = {
    "addon.yaml": """
        name: desk
        title: Desk
        version: "1.0"
    """,
    "__init__.py": "",
    "models/__init__.py": "",
    "models/ticket.py": """
        from decimal import Decimal
        from typing import Any

        from core.api import Chatter, Right, acting_user, api_method, fields


        class Ticket(Chatter):
            _title = "Tickets"
            _track = ("stage", "amount")
            _money = ("amount",)
            _rendered_lists = ("steps",)

            name = fields.CharField(max_length=200)
            stage = fields.SelectionField({"new": "New", "done": "Done"}, default="new")
            amount = fields.DecimalField(max_digits=12, decimal_places=2, default=0)
            currency = fields.CharField(max_length=3, default="CHF")
            secret = fields.SecretField(default="")
            contact = fields.ForeignKeyField("models.Contact", null=True, related_name="tickets")
            company = fields.ForeignKeyField("models.Company", null=True, related_name="tickets")
            description = fields.TextField(default="")

            @api_method(title="Close")
            async def close(self, reason: str, hours: Decimal = Decimal(0)) -> dict[str, Any]:
                self.stage = "done"
                await self.save()
                return {"ticket": self, "hours": hours, "by": acting_user().name}

            @classmethod
            @api_method(right=Right.READ)
            async def open_count(cls) -> int:
                return await cls.filter(stage="new").count()

            async def plain(self) -> str:
                return self.secret
    """,
    "models/step.py": """
        from core.api import Record, fields


        class Step(Record):
            _money = ("price",)

            name = fields.CharField(max_length=200)
            hours = fields.DecimalField(max_digits=8, decimal_places=2, default=1)
            price = fields.DecimalField(max_digits=8, decimal_places=2, default=0)
            ticket = fields.ForeignKeyField("models.Ticket", related_name="steps")
    """,
    "hooks.py": """
        from core.api import MenuItem, Page, Route, UserError, hookimpl, my_records

        from .models.step import Step
        from .models.ticket import Ticket


        @hookimpl
        def register_models():
            return [Ticket, Step]


        async def board(query):
            tickets = await my_records("Ticket")
            return {"names": [ticket.name for ticket in await tickets], "word": query.get("word", "")}


        @hookimpl
        def register_pages():
            return [Page("board", "board.html", board, "Board")]


        @hookimpl
        def register_menu():
            return [MenuItem("All about desks", "/addons/desk/board?word=all", order=5)]


        async def count() -> dict[str, int]:
            return {"count": await (await my_records("Ticket")).count()}


        async def add(name: str) -> dict[str, int]:
            raise UserError(f"{name} cannot be added.")


        async def broken() -> None:
            raise RuntimeError("password=hunter2")


        @hookimpl
        def register_routes():
            return [
                Route("GET", "/api/desk/count", count, "How many tickets there are"),
                Route("POST", "/api/desk/add", add, "Add a ticket"),
                Route("GET", "/api/desk/broken", broken, "Fail"),
            ]
    """,
    "templates/board.html": """
        {% extends "base.html" %}
        {% block content %}
        <h1>Board {{ word }}</h1><ul>{% for name in names %}<li>{{ name }}</li>{% endfor %}</ul>
        {% endblock %}
    """,
}


def write_desk(root: Path) -> None:
    """Write the addon into `root`."""
    for name, text in _FILES.items():
        file = root / "desk" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text).lstrip("\n"))
