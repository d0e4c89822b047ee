"""The words of a template that can be translated: what `t()` and `{% trans %}` are given in its source.

Nothing is rendered here, and no filter or name has to be known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from jinja2 import Environment
from jinja2.ext import extract_from_ast

from core.render.sandbox import GLOBALS

_FUNCTIONS = tuple(sorted(GLOBALS.keys() - {"range", "namespace"}))


@dataclass(frozen=True, slots=True)
class Words:
    """A message at its line, with its plural where it has one; `context` is None where it has no other meaning."""

    line: int
    message: str
    plural: str | None = None
    context: str | None = None


def words_in(source: str) -> Iterator[Words]:
    """Yield the messages of a template, in order; raises TemplateSyntaxError for what is none."""
    environment = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    environment.policies["ext.i18n.trimmed"] = True
    cast("Any", environment).newstyle_gettext = True
    for line, function, found in extract_from_ast(environment.parse(source), _FUNCTIONS, babel_style=False):
        texts = list(found if isinstance(found, tuple) else (found,))
        context = texts.pop(0) if function in ("pgettext", "npgettext") and len(texts) > 1 else None
        if texts and texts[0]:
            plural = texts[1] if function in ("ngettext", "npgettext") and len(texts) > 1 else None
            yield Words(line, texts[0], plural, context)
