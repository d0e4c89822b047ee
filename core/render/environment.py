"""Templates to text: the one place where a user's template is compiled and run.

Text that comes out is complete or there is an error with its place; nothing is half rendered. A template never sees a
record, only plain data (`core.render.plain`), and never another locale's translations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache, wraps
from types import MappingProxyType
from typing import Any, NoReturn

import jinja2
from jinja2 import Template, TemplateSyntaxError

from core.errors import AddonError, TemplateError, UserError
from core.pattern import pattern
from core.render import filters as own_filters
from core.render.catalogue import Catalogues
from core.render.marks import marked
from core.render.run import LINE_LIMITS, Audience, Refused, RenderLimits, Run, current_run
from core.render.sandbox import Sandbox

CACHED_TEMPLATES = 512
EXCERPT_CHARS = 400

FILTERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "date": own_filters.date,
        "datetime": own_filters.datetime,
        "money": own_filters.money,
        "number": own_filters.number,
    }
)

# What a template can make Python raise; anything else is a fault of ours and stays one.
_FAULTS = (
    Refused,
    UserError,
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
_FILE = "<postroom template>"
_FIELD_TOKEN = pattern(r"(\{\{[-+]?\s*)field:([A-Za-z_]\w*(?:-\w+)*)(?=\s*(?:[-+]?\}\}|\|))")
_LINE_END = pattern(r"\r\n|\r|\n")
_BREAKS = pattern(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_REPR = pattern(r"<[^<>]* at 0x[0-9a-fA-F]+>")
_QUOTED = pattern(r"'([^']+)'")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered text, and the names that the data did not have and that came out blank."""

    text: str
    missing: tuple[str, ...] = ()


class _Kind(Enum):
    """What a text is for, and so how values are put out into it."""

    HTML = "html"
    TEXT = "text"
    ADDRESSES = "addresses"


@dataclass(frozen=True, slots=True)
class _Asked:
    """Whom a text is for, and what is said of it in errors."""

    audience: Audience
    strict: bool
    name: str


class Renderer:
    """Compiles and renders templates; one per host, safe to use from several threads.

    `filters` are the addons' own, called with the value first. A name that is taken raises AddonError.
    """

    def __init__(
        self,
        filters: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
        *,
        catalogues: Catalogues = Catalogues(),  # noqa: B008 - nothing changes it
        limits: RenderLimits = RenderLimits(),  # noqa: B008 - a frozen value
        cached_templates: int = CACHED_TEMPLATES,
    ):
        self.limits = limits
        self._line_limits = limits.within(LINE_LIMITS)
        self.catalogues = catalogues
        localised = {name: _for_audience(function) for name, function in FILTERS.items()}
        self._sandboxes = {
            _Kind.HTML: Sandbox(localised, limits, escape=True),
            _Kind.TEXT: Sandbox(localised, limits, escape=False),
            _Kind.ADDRESSES: Sandbox(localised, limits, escape=False, finalize=marked),
        }
        for sandbox in self._sandboxes.values():
            if taken := sorted(filters.keys() & sandbox.filters.keys()):
                raise AddonError(
                    "Template filters cannot be registered.", [_clash(name, filters[name]) for name in taken]
                )
            sandbox.filters.update(filters)
        self.compiled = lru_cache(cached_templates)(self._compile)
        """The template cache; `compiled.cache_info().misses` counts the parses."""

    def render(
        self,
        source: str,
        context: Mapping[str, object],
        *,
        escape: bool,
        audience: Audience = Audience(),  # noqa: B008 - a frozen value
        strict: bool = False,
        name: str = "template",
    ) -> Rendered:
        """Render a template on plain data: HTML when `escape`, else plain text as it stands.

        What the data lacks is blank and listed in `missing`; in a strict render it raises. `name` says in errors which
        text is meant. Raises TemplateError with line and, where it can be told, column.
        """
        asked = _Asked(audience, strict, name)
        return self._render(source, context, _Kind.HTML if escape else _Kind.TEXT, asked, self.limits)

    def render_line(
        self,
        source: str,
        context: Mapping[str, object],
        *,
        audience: Audience = Audience(),  # noqa: B008 - a frozen value
        strict: bool = False,
        name: str = "subject",
    ) -> Rendered:
        """Render a subject, an address or a file name: no escaping, and no line break or control character left."""
        return self._render_line(source, context, _Kind.TEXT, _Asked(audience, strict, name))

    def render_addresses(
        self,
        source: str,
        context: Mapping[str, object],
        *,
        audience: Audience = Audience(),  # noqa: B008 - a frozen value
        strict: bool = False,
        name: str = "address",
    ) -> Rendered:
        """Render a line of addresses, as `render_line`, with the values in it marked (`core.render.marks`)."""
        return self._render_line(source, context, _Kind.ADDRESSES, _Asked(audience, strict, name))

    def check(self, source: str, *, name: str = "template") -> None:
        """Compile a template, or raise TemplateError."""
        self._template(source, _Kind.HTML, name)

    def _render(
        self, source: str, context: Mapping[str, object], kind: _Kind, asked: _Asked, limits: RenderLimits
    ) -> Rendered:
        template = self._template(source, kind, asked.name)
        words = self.catalogues.of(asked.audience.locale)
        run = Run(asked.audience, words, limits, escape=kind is _Kind.HTML, strict=asked.strict, names=context.keys())
        token = current_run.set(run)
        try:
            text = _output(template, context, run)
        except _FAULTS as error:
            _raise_at(error, source, asked.name, template)
        finally:
            current_run.reset(token)
        return Rendered(text, tuple(run.missing))

    def _render_line(self, source: str, context: Mapping[str, object], kind: _Kind, asked: _Asked) -> Rendered:
        if "{" not in source:
            return Rendered(_line(source))
        rendered = self._render(source, context, kind, asked, self._line_limits)
        return Rendered(_line(rendered.text), rendered.missing)

    def _template(self, source: str, kind: _Kind, name: str) -> Template:
        if len(source) > self.limits.source_chars:
            raise TemplateError(f"it is longer than {self.limits.source_chars} characters; shorten it", source=name)
        try:
            return self.compiled(source, kind)
        except _FAULTS as error:
            _raise_at(error, source, name, None)

    def _compile(self, source: str, kind: _Kind) -> Template:
        sandbox = self._sandboxes[kind]
        code = sandbox.compile(plain_source(source), filename=_FILE)
        return Template.from_code(sandbox, code, sandbox.globals)


def _output(template: Template, context: Mapping[str, object], run: Run) -> str:
    chunks: list[str] = []
    size, most = 0, run.limits.output_bytes
    for chunk in template.root_render_func(template.new_context(dict(context))):
        size += len(chunk) if chunk.isascii() else len(chunk.encode(errors="replace"))
        if size > most:
            raise Refused(f"it makes more than {most} bytes")
        chunks.append(chunk)
    return "".join(chunks)


def _line(text: str) -> str:
    return _BREAKS.sub(" ", text).strip()


def plain_source(source: str) -> str:
    """Return a template as Jinja reads it: `{{field:slug}}` tokens as the variables that they mean."""
    return _FIELD_TOKEN.sub(_field, source)


def _for_audience(function: Callable[..., str]) -> Callable[..., str]:
    """Bind one of our filters to the audience of the render under way."""

    @wraps(function)
    def filtered(*args: Any, **kwargs: Any) -> str:
        run = current_run.get()
        run.spend()
        return function(run.audience, *args, **kwargs)

    return filtered


def _field(token: re.Match[str]) -> str:
    """Return the variable that a `{{field:slug}}` token means, as long as the token so that columns stay true."""
    return f"{token[1]}      {token[2].replace('-', '_')}"


def _clash(name: str, function: Callable[..., Any]) -> str:
    return f'the filter "{name}" of {function.__module__} is one that Postroom has already; rename it'


def _raise_at(error: BaseException, source: str, name: str, template: Template | None) -> NoReturn:
    """Raise the TemplateError that says what went wrong, and where, in an author's words."""
    line = _line_of(error, template)
    reason, word = _reason(error)
    text = _text_of(source, line)
    column = None if text is None else _column(text, word)
    # Python's own error would carry paths and values along.
    raise TemplateError(
        reason, source=name, line=line, column=column, excerpt=(text or "")[:EXCERPT_CHARS].rstrip()
    ) from None


def _line_of(error: BaseException, template: Template | None) -> int | None:
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    if template is None:
        return None
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE:
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line


def _reason(error: BaseException) -> tuple[str, str | None]:
    """Return the message, and the word of the template that it is about."""
    if isinstance(error, (RecursionError, MemoryError)):
        return "it is nested too deeply, or calls itself without end", None
    if isinstance(error, SyntaxError):
        return "its blocks are nested too deeply", None
    if isinstance(error, ZeroDivisionError):
        return "it divides by zero", "/"
    said = _REPR.sub("an object", str(getattr(error, "message", None) or error))[:600]
    quoted = _QUOTED.search(said)
    return said, getattr(error, "name", None) or (quoted[1] if quoted else None)


def _text_of(source: str, line: int | None) -> str | None:
    # As Jinja counts lines, to which a form feed or a U+2028 is none.
    lines = _LINE_END.split(source)
    return lines[line - 1] if line is not None and 0 < line <= len(lines) else None


def _column(text: str, word: object) -> int | None:
    """Return where in the line the fault is: at the word it names, or at the line's only tag."""
    at = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) if isinstance(word, str) and word else None
    tags = list(re.finditer(r"\{[{%]", text))
    found = at or (tags[0] if len(tags) == 1 else None)
    return found.start() + 1 if found else None
