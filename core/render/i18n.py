"""Translation inside templates: `t(...)` and `{% trans %}` over the catalogue of the render under way.

The functions are the same for every locale and look the catalogue up per call, so that nothing of one language can stay
behind in an environment that the next language uses. The values that are put into a message are never looked up.
"""

from __future__ import annotations

from markupsafe import Markup, escape

from core.render.catalogue import PLACE
from core.render.plain import admitted, text
from core.render.run import current_run


def translate(message: str, **values: object) -> str:
    """Return the translation of any text, `%(name)s` places filled in; HTML in it is escaped when put out."""
    return _filled(current_run.get().catalogue.gettext(str(text(message))), values)


def gettext(message: str, **values: object) -> str:
    """Return the translation of a `{% trans %}` block, whose own HTML stands."""
    return _block(current_run.get().catalogue.gettext(message), values)


def ngettext(singular: str, plural: str, number: float, **values: object) -> str:
    """Return the translation of a `{% trans %}` block with a plural."""
    message = current_run.get().catalogue.ngettext(singular, plural, admitted(number))
    return _block(message, {"num": number, **values})


def pgettext(context: str, message: str, **values: object) -> str:
    """Return the translation of a `{% trans "context" %}` block: one of several meanings of the same words."""
    return _block(current_run.get().catalogue.gettext(message, context), values)


def npgettext(context: str, singular: str, plural: str, number: float, **values: object) -> str:
    """Return the translation of a `{% trans "context" %}` block with a plural."""
    message = current_run.get().catalogue.ngettext(singular, plural, admitted(number), context)
    return _block(message, {"num": number, **values})


def _block(message: str, values: dict[str, object]) -> str:
    if not current_run.get().escape:
        return _filled(message, values)
    return Markup(_filled(message, {name: escape(text(value)) for name, value in values.items()}))  # noqa: S704


def _filled(message: str, values: dict[str, object]) -> str:
    texts = {name: str(text(value)) for name, value in values.items()}
    current_run.get().spend_chars(len(message) + sum(map(len, texts.values())) * message.count("%"))
    return PLACE.sub(lambda place: texts.get(place[1], place[0]) if place[1] else "%", message)
