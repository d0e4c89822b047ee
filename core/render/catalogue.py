"""Translations of what templates say: gettext catalogues by locale, merged of every addon's `i18n/<locale>.po`.

A locale falls back to its language, and then to the words as they are written (`de_AT`, `de`, the template's own).
Only words are looked up here that a template itself says; a record's values are none of them.
"""

from __future__ import annotations

import gettext
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from core.pattern import pattern

if TYPE_CHECKING:
    from babel.messages.catalog import Message

FOLDER = "i18n"
PLACE = pattern(r"%(?:%|\((\w+)\)s)")
"""A place in a message that a value is put into, or a doubled percent sign."""
_LOCALE = pattern(r"[a-z]{2,3}(?:_[A-Z][a-z]{3})?(?:_(?:[A-Z]{2}|[0-9]{3}))?")
_LOCALE_CHARS = 32
_OF_CONTEXT = "\x04"
_MORE_LINES = pattern(rb'"\s*\n\s*"')
_FORMS = pattern(rb"nplurals\s*=\s*(\d+)")
_MOST_FORMS = 10
"""No language has more than six; Babel writes as many as the file says, for each message."""


@dataclass(frozen=True, slots=True)
class Plural:
    """The forms of a message by number, and which of them a whole number takes."""

    forms: tuple[str, ...]
    form_of: Callable[[int], int]

    def __call__(self, number: float) -> str:
        whole = int(number)
        # What is not whole has no rule in gettext; the last form is the one for amounts.
        return self.forms[min(self.form_of(abs(whole)), len(self.forms) - 1) if whole == number else -1]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The translations into one locale, those of its language among them."""

    words: Mapping[str, str]
    plurals: Mapping[str, Plural]

    def gettext(self, message: str, context: str | None = None) -> str:
        """Return the translation of a message, or the message; `context` tells two meanings of it apart."""
        return self.words.get(key_of(message, context), message)

    def ngettext(self, singular: str, plural: str, number: float, context: str | None = None) -> str:
        """Return the form that goes with a number, translated or as written."""
        found = self.plurals.get(key_of(singular, context))
        return found(number) if found else singular if number == 1 else plural


_SOURCE = Catalogue(MappingProxyType({}), MappingProxyType({}))


class Catalogues:
    """The catalogues of one host by locale; empty, everything stays as it is written."""

    def __init__(self, by_locale: Mapping[str, Catalogue] = MappingProxyType({})):
        self._by_locale = {
            locale: Catalogue(
                _merged(by_locale[one].words for one in reversed(fallbacks(locale)) if one in by_locale),
                _merged(by_locale[one].plurals for one in reversed(fallbacks(locale)) if one in by_locale),
            )
            for locale in by_locale
        }

    @property
    def locales(self) -> tuple[str, ...]:
        return tuple(sorted(self._by_locale))

    def of(self, locale: str) -> Catalogue:
        """Return the nearest catalogue of a locale, which may be an empty one."""
        return next((self._by_locale[one] for one in fallbacks(locale) if one in self._by_locale), _SOURCE)


@lru_cache(maxsize=256)
def fallbacks(locale: str) -> tuple[str, ...]:
    """Return a locale and what stands in for it, nearest first: `de-at` gives `de_AT`, `de`; nonsense gives nothing."""
    parts = locale.partition(".")[0].replace("-", "_").split("_") if len(locale) <= _LOCALE_CHARS else []
    shaped = [_shaped(part) if index else part.lower() for index, part in enumerate(parts)]
    names = ["_".join(shaped[:length]) for length in range(len(shaped), 0, -1)]
    return tuple(name for name in names if _LOCALE.fullmatch(name))


def read_catalogues(folders: Iterable[tuple[str, Path]]) -> tuple[Catalogues, list[str]]:
    """Return the catalogues of addons, given as (name, folder) in dependency order, and all faults in them.

    Where two addons translate the same message, the later one wins.
    """
    words: dict[str, dict[str, str]] = {}
    plurals: dict[str, dict[str, Plural]] = {}
    faults: list[str] = []
    for addon, folder in folders:
        for file in sorted((folder / FOLDER).glob("*.po")):
            where = f"{addon}: {FOLDER}/{file.name}"
            read = _read(file, where, faults)
            words.setdefault(file.stem, {}).update(read.words)
            plurals.setdefault(file.stem, {}).update(read.plurals)
    return Catalogues({locale: Catalogue(words[locale], plurals[locale]) for locale in words}), faults


def key_of(message: str, context: str | None) -> str:
    """Return what a message is kept under: as in a compiled gettext catalogue."""
    return message if context is None else f"{context}{_OF_CONTEXT}{message}"


def _merged(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        merged |= layer
    return merged


def _shaped(part: str) -> str:
    return part.title() if len(part) == 4 else part.upper()


def _read(file: Path, where: str, faults: list[str]) -> Catalogue:
    """Return one file's translations; what is wrong with it is added to `faults`."""
    # Babel costs start-up time, and most folders have no catalogue.
    from babel.messages.pofile import PoFileError, read_po

    if not _LOCALE.fullmatch(file.stem):
        faults.append(f"{where}: name the file by its locale, such as de.po or pt_BR.po")
        return _SOURCE
    content = file.read_bytes()
    if any(len(count) > 3 or int(count) > _MOST_FORMS for count in _FORMS.findall(_MORE_LINES.sub(b"", content))):
        faults.append(f"{where}: it cannot be read: a language has at most {_MOST_FORMS} plural forms")
        return _SOURCE
    try:
        read = read_po(BytesIO(content), locale=file.stem, abort_invalid=True)
        form_of = gettext.c2py(read.plural_expr)
    except (PoFileError, ValueError, LookupError) as error:
        faults.append(f"{where}: it cannot be read: {error}")
        return _SOURCE
    words: dict[str, str] = {}
    plurals: dict[str, Plural] = {}
    for message in read:
        if not message.id or message.fuzzy:
            continue
        faults += [f"{where}, line {message.lineno}: {fault}" for fault in _strange_places(message)]
        if isinstance(message.id, str):
            if isinstance(message.string, str) and message.string:
                words[key_of(message.id, message.context)] = message.string
        elif all(forms := _texts(message.string)):
            plurals[key_of(message.id[0], message.context)] = Plural(forms, form_of)
    return Catalogue(words, plurals)


def _strange_places(message: Message) -> Iterator[str]:
    """Name the places of a translation that its message does not have: nothing would be put into them."""
    ids, strings = _texts(message.id), _texts(message.string)
    known = {name for text in ids for name in PLACE.findall(text)}
    for name in sorted({name for text in strings for name in PLACE.findall(text)} - known):
        if name:
            yield f'the translation of "{ids[0]}" has a place %({name})s that the message does not have'


def _texts(value: Any) -> tuple[str, ...]:
    return (value or "",) if isinstance(value, str | None) else tuple(value)
