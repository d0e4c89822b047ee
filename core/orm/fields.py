"""The field types that a model may use: Tortoise's, with those replaced that would lose a zone or a secret.

Postroom adds `DatetimeField` (aware UTC, refused otherwise), `SelectionField` (named values that other addons can add
to) and `SecretField` (encrypted at rest).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from json import JSONEncoder
from typing import TYPE_CHECKING, Any

from cryptography.fernet import InvalidToken, MultiFernet
from tortoise.exceptions import ValidationError
from tortoise.fields import (
    CASCADE,
    RESTRICT,
    SET_NULL,
    BigIntField,
    BinaryField,
    BooleanField,
    CharField,
    DateField,
    DecimalField,
    Field,
    FloatField,
    IntField,
    TextField,
)
from tortoise.fields import DatetimeField as TortoiseDatetimeField

from core import clock
from core.errors import ConfigError

__all__ = [
    "CASCADE",
    "RESTRICT",
    "SET_NULL",
    "BigIntField",
    "BinaryField",
    "BooleanField",
    "CharField",
    "DateField",
    "DatetimeField",
    "DecimalField",
    "Field",
    "FloatField",
    "ForeignKeyField",
    "IntField",
    "JSONField",
    "ManyToManyField",
    "SecretField",
    "SelectionField",
    "TextField",
    "UnreadableSecret",
    "more_choices",
    "readable",
    "secret_cipher",
]

secret_cipher: ContextVar[MultiFernet] = ContextVar("postroom_secret_cipher")
"""The keys that SecretField encrypts with; the first one encrypts, all of them decrypt. The host sets it."""


_encode = JSONEncoder(separators=(",", ":")).encode


def as_json(value: Any) -> str:
    """Return a value as JSON without spaces."""
    return _encode(value)


if TYPE_CHECKING:
    DatetimeField = TortoiseDatetimeField

    # What these give depends on other models, which meet by name only; no type checker can know it.
    def ForeignKeyField(model_name: str, **options: Any) -> Any: ...  # noqa: N802

    def ManyToManyField(model_name: str, **options: Any) -> Any: ...  # noqa: N802

    def JSONField(**options: Any) -> Any: ...  # noqa: N802

else:
    from tortoise.fields import ForeignKeyField, ManyToManyField
    from tortoise.fields import JSONField as TortoiseJSONField

    class JSONField(TortoiseJSONField):
        """Lists and mappings; stock Tortoise makes an encoder of its own for each value."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**{"encoder": as_json, **options})

    class DatetimeField(TortoiseDatetimeField):
        """An aware datetime, stored in UTC whatever zone it came in.

        Stock Tortoise keeps the offset given to `filter()` and `update()`, and SQLite then compares texts of different
        zones. Naive values are refused.
        """

        def to_db_value(self, value: Any, instance: Any) -> Any:
            if hasattr(instance, "_saved_in_db") and (
                self.auto_now or (self.auto_now_add and getattr(instance, self.model_field_name) is None)
            ):
                value = clock.now()
                setattr(instance, self.model_field_name, value)
            if isinstance(value, datetime):
                self._refuse_naive(value)
                value = value.astimezone(UTC)
            self.validate(value)
            return value

        def to_python_value(self, value: Any) -> datetime | None:
            # Stock Tortoise takes a naive time in a constructor for one of the default zone.
            if isinstance(value, datetime):
                self._refuse_naive(value)
            return super().to_python_value(value)

        def _refuse_naive(self, value: datetime) -> None:
            if value.tzinfo is None:
                raise ValidationError(f"{self.model_field_name}: a time without zone ({value}); pass an aware one")


class SelectionField(CharField[str]):
    """One of a few named values; `choices` maps each stored value to its label."""

    def __init__(self, choices: Mapping[str, str], *, default: str | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 64)
        super().__init__(default=default, **kwargs)
        self.choices = dict(choices)

    def to_db_value(self, value: Any, instance: Any) -> Any:
        if value is not None and value not in self.choices:
            known = ", ".join(self.choices)
            raise ValidationError(f"{self.model_field_name}: {value!r} is none of {known}")
        return super().to_db_value(value, instance)


class MoreChoices(Field[str]):
    """What `more_choices` leaves in an extension until the registry merges it into the base field."""

    def __init__(self, choices: Mapping[str, str]) -> None:
        super().__init__()
        self.choices = dict(choices)


def more_choices(choices: Mapping[str, str]) -> Any:
    """In an extension of a model, add values to the SelectionField of the same name."""
    return MoreChoices(choices)


class UnreadableSecret(str):
    """What a SecretField reads where no key of SECRET_KEY fits: empty text that keeps what is stored when saved again.

    So a list of records with one such secret can still be read; `readable` refuses it where it would be used.
    """

    __slots__ = ("stored",)

    stored: str

    def __new__(cls, stored: str) -> UnreadableSecret:
        self = super().__new__(cls, "")
        self.stored = stored
        return self


def readable(secret: str | None, name: str) -> str:
    """Return a secret for use; ConfigError, calling it `name`, where it was encrypted with a key that is gone."""
    if isinstance(secret, UnreadableSecret):
        raise ConfigError(f"{name} was encrypted with another SECRET_KEY; restore that key or enter it again")
    return secret or ""


class SecretField(TextField):
    """Text that is encrypted at rest (Fernet: AES-128-CBC with HMAC-SHA256) and clear in Python.

    Where the key is gone it reads as an UnreadableSecret; ask `readable` before use.
    """

    def to_db_value(self, value: Any, instance: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, UnreadableSecret):
            return value.stored
        return _cipher().encrypt(str(value).encode()).decode()

    def to_python_value(self, value: Any) -> Any:
        if not isinstance(value, str) or not value.startswith("gAAAA"):
            return value
        try:
            return _cipher().decrypt(value).decode()
        except InvalidToken:
            return UnreadableSecret(value)


def _cipher() -> MultiFernet:
    try:
        return secret_cipher.get()
    except LookupError:
        raise ConfigError("secrets can be read and written only while a host is open") from None
