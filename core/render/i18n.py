"""Translation inside templates: `t(...)` and `{% trans %}` over the catalogue of the render under way.

The functions are the same for every locale and look the catalogue up per call, so that nothing of one language can stay
behind in an environment that the next language uses.
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from core.render.plain import text
from core.render.run import current_run

_PLACE = re.compile(r"%(?:%|\((\w+)\)s)")


def translate(message: str, **values: object) -> str:
    """Return the translation of any text, `%(name)s` places filled in; HTML in it is escaped when put out."""
    return _filled(_translated(str(text(message))), values)


def gettext(message: str, **values: object) -> str:
    """Return the translation of a `{% trans %}` block, whose own HTML stands."""
    return _block(_translated(message), values)


def ngettext(singular: str, plural: str, number: float, **values: object) -> str:
    """Return the translation of a `{% trans %}` block with a plural."""
    return _block(_translated(singular if number == 1 else plural), values)


def _translated(message: str) -> str:
    return current_run.get().audience.catalogue.get(message, message)


def _block(message: str, values: dict[str, object]) -> str:
    if not current_run.get().escape:
        return _filled(message, values)
    return Markup(_filled(message, {name: escape(text(value)) for name, value in values.items()}))  # noqa: S704


def _filled(message: str, values: dict[str, object]) -> str:
    texts = {name: str(text(value)) for name, value in values.items()}
    current_run.get().spend_chars(len(message) + sum(map(len, texts.values())) * message.count("%"))
    return _PLACE.sub(lambda place: texts.get(place[1], place[0]) if place[1] else "%", message)
