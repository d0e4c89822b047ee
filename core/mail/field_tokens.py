"""`{{field:slug}}` in a text that a person wrote: a place for a value of the record, and for nothing else.

Everything around the tokens stays as it is, also what other languages would take for code; a value is never looked at
again. Pure: which slugs there are, and their values, is the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from core.errors import UserError
from core.mail.sanitise import HTML_MAX_CHARS
from core.pattern import pattern

_TOKEN = pattern(r"\{\{\s{0,20}field:([^{}]{0,200})\}\}", re.IGNORECASE)


def slugs_in(*texts: str) -> tuple[str, ...]:
    """Return the slugs of the tokens in some texts, each once: `unit-price` is `unit_price`."""
    return tuple(dict.fromkeys(_slug(token) for text in texts for token in _TOKEN.finditer(text)))


def filled_html(html: str, values: Mapping[str, str]) -> str:
    """Return HTML with each token's value in its place, escaped; UserError where it would become too long."""
    return _filled(html, {slug: "<br>".join(escape(value).splitlines()) for slug, value in values.items()})


def filled_text(text: str, values: Mapping[str, str]) -> str:
    """Return a text with each token's value in its place, as it is."""
    return _filled(text, values)


def filled_line(line: str, values: Mapping[str, str]) -> str:
    """Return a line, such as a subject, with each token's value in its place; a value has no line break in it."""
    return _filled(line, {slug: _line(value) for slug, value in values.items()})


def _line(value: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in value).split())


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Put the values in; a token that has none stays."""
    tokens = [token for token in _TOKEN.finditer(text) if _slug(token) in values]
    if sum(len(values[_slug(token)]) for token in tokens) + len(text) > HTML_MAX_CHARS:
        raise UserError(f"With its fields filled in, the mail has more than {HTML_MAX_CHARS} characters; use fewer.")
    return _TOKEN.sub(lambda token: values.get(_slug(token), token[0]), text)


def _slug(token: re.Match[str]) -> str:
    return token[1].strip().replace("-", "_")
