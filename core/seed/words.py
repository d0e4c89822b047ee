"""The words of an addon as gettext files: a `.pot` of all that its templates say, and a `.po` for each language.

Taken from the records that it ships, the template files that they name, and the choices of its selections, which
templates show by `t()`. Translations that are there already stay. Nothing is read of the database.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateSyntaxError

from core.contributions import AddonInfo
from core.errors import TemplateError, UserError
from core.orm.fields import MoreChoices, SelectionField
from core.orm.record import all_declared_fields
from core.orm.registry import Registry
from core.render.catalogue import FOLDER, fallbacks
from core.render.environment import plain_source
from core.render.words import Words, words_in
from core.seed.resolve import ResolvedRecord, resolve_addon

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog

_TEMPLATES = {
    "EmailTemplate": ("subject", "content", "from_email", "to_email", "cc_email", "reply_email"),
    "ReportAction": ("content", "file_name"),
}
_IDLE_HEADERS = (
    *('"POT-Creation-Date:', '"PO-Revision-Date:', '"Generated-By:', '"Last-Translator:'),
    *('"Language-Team:', '"Report-Msgid-Bugs-To:'),
)
"""Dates, which would make two runs differ that found the same, and what Babel fills with examples."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written; `missing` of its `messages` have no translation yet."""

    file: Path
    messages: int
    missing: int


def write_words(addon: AddonInfo, registry: Registry, folder: Path | None = None, locale: str = "") -> list[Written]:
    """Write the addon's `.pot`, and bring its `.po` files up to date, with `locale` also a new one.

    `folder` stands for the addon's `i18n/`. Raises TemplateError for a template that cannot be read, UserError where
    the folder cannot be written or `locale` is none.
    """
    # Babel costs start-up time, and only translators need this.
    from babel.messages.catalog import Catalog
    from babel.messages.pofile import read_po

    names = fallbacks(locale)
    if locale and not names:
        raise UserError(f'"{locale}" is no locale; write it as de, or pt_BR.')
    folder = folder or addon.folder / FOLDER
    template = catalogue_of(addon, registry)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [_write(folder / f"{addon.name}.pot", template)]
        files = {file.stem: file for file in folder.glob("*.po")} | {one: folder / f"{one}.po" for one in names[:1]}
        for name, file in sorted(files.items()):
            if file.exists():
                known = read_po(io.BytesIO(file.read_bytes()), locale=name)
            else:
                known = Catalog(name, project=addon.title, version=addon.version, header_comment=f"# {addon.title}")
            known.update(template, no_fuzzy_matching=True, update_header_comment=False)
            known.fuzzy = False
            written.append(_write(file, known))
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}); name another folder.") from error
    return written


def catalogue_of(addon: AddonInfo, registry: Registry) -> Catalog:
    """Return all messages of an addon without translations, each with the places where it is used."""
    from babel.messages.catalog import Catalog

    catalogue = Catalog(project=addon.title, version=addon.version, fuzzy=False, header_comment=f"# {addon.title}")
    for file in resolve_addon(addon, registry):
        for record in file.records:
            for name in _TEMPLATES.get(record.model.__name__, ()):
                for place, line, found in _words_of(record, name):
                    message: Any = found.message if found.plural is None else (found.message, found.plural)
                    catalogue.add(message, locations=[(place, line)], context=found.context)
    for model, label in _choices(addon.name, registry):
        catalogue.add(label, auto_comments=[f"A choice of {model}"])
    return catalogue


def _words_of(record: ResolvedRecord, name: str) -> Iterator[tuple[str, int, Words]]:
    """Yield (file, line, words) of one text of a shipped record."""
    source = record.values.get(name)
    if not isinstance(source, str):
        return
    first = record.source.field_lines.get(name, record.source.line)
    shipped_as = str(record.source.values.get(name, ""))
    in_file = shipped_as != source
    try:
        for words in words_in(plain_source(source)):
            yield (Path(shipped_as).name, words.line, words) if in_file else (record.file, first, words)
    except TemplateSyntaxError as error:
        raise TemplateError(str(error.message), source=f"{record.identifier}: {name}", line=error.lineno) from None


def _choices(addon: str, registry: Registry) -> Iterator[tuple[str, str]]:
    """Yield (model.field, label) of the selections that an addon declares."""
    for entry in registry:
        fragments = [(entry.addon, entry.base), *entry.extensions]
        for fragment in [fragment for owner, fragment in fragments if owner == addon]:
            for name, field in all_declared_fields(fragment).items():
                if isinstance(field, SelectionField | MoreChoices):
                    labels = [label for value, label in field.choices.items() if label != value]
                    yield from ((f"{entry.name}.{name}", label) for label in labels)


def _write(file: Path, catalogue: Catalog) -> Written:
    from babel.messages.pofile import write_po

    made = io.BytesIO()
    write_po(made, catalogue, width=100)
    lines = made.getvalue().decode().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith(_IDLE_HEADERS)), encoding="utf-8")
    messages = [message for message in catalogue if message.id]
    return Written(file, len(messages), sum(not _is_translated(message) for message in messages))


def _is_translated(message: Any) -> bool:
    strings = (message.string,) if isinstance(message.string, str | None) else message.string
    return all(strings) and not message.fuzzy
