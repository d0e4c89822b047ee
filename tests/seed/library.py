"""An addon `library` with a model that has a field of each kind."""

from __future__ import annotations

from pathlib import Path

from tests.host.addon_folder import write, write_addon

BOOK = """
    from core.api import Record, fields

    class Book(Record):
        label_field = "title"

        identifier = fields.CharField(max_length=100, null=True, unique=True)
        title = fields.CharField(max_length=40)
        body = fields.TextField(default="")
        pages = fields.IntField(default=0)
        price = fields.DecimalField(max_digits=8, decimal_places=2, null=True)
        weight = fields.FloatField(null=True)
        printed = fields.DateField(null=True)
        lent_at = fields.DatetimeField(null=True)
        extra = fields.JSONField(default=dict)
        kind = fields.SelectionField({"novel": "Novel", "poem": "Poem"}, default="novel")
        key = fields.SecretField(default="")
        cover = fields.BinaryField(null=True)
        author = fields.ForeignKeyField("models.Contact", null=True, related_name="books", on_delete=fields.SET_NULL)
        sequel = fields.ForeignKeyField("models.Book", null=True, related_name="prequels", on_delete=fields.SET_NULL)
        groups = fields.ManyToManyField("models.Group", related_name="books", through="book_group")
        active = fields.BooleanField(default=True)

        @classmethod
        async def check_values(cls, values):
            return ["a poem has pages"] if values.get("kind") == "poem" and not values.get("pages") else []

        async def save(self, *args, **kwargs):
            self.title = self.title.strip()
            await super().save(*args, **kwargs)
"""
TAG = """
    from core.api import Record, fields

    class Tag(Record):
        name = fields.CharField(max_length=40)
        book = fields.ForeignKeyField("models.Book", related_name="tags", on_delete=fields.CASCADE)
"""


def write_library(root: Path, **files: str) -> Path:
    """Write the addon with the data files `books` and `tags` and the demo file `demo`, all empty unless given."""
    folder = write_addon(
        root,
        "library",
        models={"Book": BOOK, "Tag": TAG},
        data={"data/books.yaml": "", "data/tags.yaml": ""},
        demo={"data/demo.yaml": ""},
    )
    rewrite(folder, **files)
    return folder


def rewrite(folder: Path, **files: str) -> None:
    """Replace data files of the addon."""
    for name, text in files.items():
        write(folder / "data" / f"{name}.yaml", text)
