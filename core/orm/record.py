"""`Record`: what every model is declared from.

A declaration is a fragment. Its fields are taken off the class when it is declared, and the registry composes one real
model of a base fragment and all its extensions once every addon is known (`core.orm.registry`). So an addon can add
fields, values and methods to another's model, and `super()` walks the whole chain.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from core.orm import fields

if TYPE_CHECKING:
    from tortoise.models import Model as _Declared
else:

    class _Declared:
        pass


class Record(_Declared):
    """A business record, or a part of one.

    Set `extends = "Contact"` to add to a model of another addon instead of declaring one; set a field to None to leave
    out one that a mix-in brings. Class attributes that start with an underscore are switches of the features that read
    them (`_track`, `_collaborate_contact`, ...).
    """

    extends: ClassVar[str | None] = None
    abstract: ClassVar[bool] = True
    declared_fields: ClassVar[dict[str, Any]] = {}
    label_field: ClassVar[str] = "name"
    """The field that names a record to a person."""
    _title: ClassVar[str] = ""
    """What people call these records, in the plural (`Leads`); empty means the class's name in words."""
    _money: ClassVar[tuple[str, ...]] = ()
    """The fields that are amounts in the record's `currency`, or in that of the record which this is a line of."""
    _written_over_http: ClassVar[bool] = True
    """False: programs read these records as any, and make, change and delete them by paths of their own, or not."""
    _admins_write: ClassVar[tuple[str, ...]] = ()
    """The fields that only administrators write, whatever rights others have; `*` stands for the whole record."""
    _of_host: ClassVar[bool] = False
    """Whether such records say how the host works and who may do what: a token needs the scope admin to change them."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "_meta"):  # A composed model: its fields belong to Tortoise by now.
            return
        own = {name: value for name, value in vars(cls).items() if isinstance(value, fields.Field) or _drops(cls, name)}
        for name in own:
            delattr(cls, name)
        cls.declared_fields = own
        if "abstract" not in vars(cls):
            cls.abstract = False

    async def save(
        self,
        using_db: Any = None,
        update_fields: Iterable[str] | None = None,
        force_create: bool = False,
        force_update: bool = False,
    ) -> None:
        """Store the record on the running transaction's connection.

        `using_db` is not used: `create` names the connection that it saw before an overriding `save` opened its
        transaction, and on SQLite the two would wait for each other for ever.
        """
        await super().save(None, update_fields, force_create, force_update)

    @property
    def display_name(self) -> str:
        """What a person calls this record; the model's name and id where it has no name."""
        name = getattr(self, self.label_field, None)
        return str(name) if name else f"{type(self).__name__} {self.pk}"


def _drops(cls: type[Record], name: str) -> bool:
    """Whether `name = None` stands in the class body for a field that a base declares."""
    if vars(cls)[name] is not None or name.startswith("_"):
        return False
    return any(name in base.declared_fields for base in cls.__mro__[1:] if issubclass(base, Record))


def all_declared_fields(fragment: type[Record]) -> dict[str, Any]:
    """Return the fragment's fields, those of its mix-ins first, so that a nearer declaration wins."""
    merged: dict[str, Any] = {}
    for base in reversed(fragment.__mro__):
        if base is not Record and isinstance(base, type) and issubclass(base, Record):
            merged.update(vars(base).get("declared_fields", {}))
    return merged
