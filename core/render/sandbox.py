"""The Jinja environment that runs templates written by users: names, filters and tests by allow-list, work counted.

Bounded here: loop steps, calls, recursion, what filters take and make, joined and formatted text, comparisons of lists,
integer arithmetic. Not bounded: what an addon's own filter does, and a context that is itself enormous.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, cast

from jinja2 import nodes
from jinja2.exceptions import TemplateAssertionError, TemplateSyntaxError
from jinja2.lexer import TokenStream
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from core.render import plain
from core.render.guards import SAFE_FILTERS, SAFE_TESTS
from core.render.i18n import gettext, ngettext, npgettext, pgettext, translate
from core.render.plain import Method, Missing, admitted, compared, counting, each, printed
from core.render.run import Refused, RenderLimits, current_run

# What templates cannot type, so that neither an author nor an addon can take the name.
EACH, ADMIT, COMPARE, CONCAT = "each item", "admitted value", "compared value", "joined values"

GLOBALS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "range": counting,
        "namespace": Namespace,
        "t": translate,
        "_": translate,
        "gettext": gettext,
        "ngettext": ngettext,
        "pgettext": pgettext,
        "npgettext": npgettext,
    }
)
"""All that a template may call by name, beside its own macros."""

_WORDS_OF: Mapping[str, int] = MappingProxyType({"gettext": 1, "ngettext": 2, "pgettext": 2, "npgettext": 3})
"""How many arguments of these are words that must stand in the template itself."""


class Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox for plain data; escaping HTML or not, for all of its templates."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(
        self,
        filters: Mapping[str, Callable[..., Any]],
        limits: RenderLimits,
        *,
        escape: bool,
        finalize: Callable[[object], object] = printed,
    ):
        super().__init__(
            autoescape=escape,
            undefined=Missing,
            finalize=finalize,
            extensions=["jinja2.ext.i18n"],
            cache_size=0,
        )
        self.newstyle_gettext = True
        self.policies["ext.i18n.trimmed"] = True
        self.limits = limits
        self.concat = _concat  # type: ignore[method-assign]
        self.globals = dict(GLOBALS)
        self.filters = {**SAFE_FILTERS, **filters, EACH: each, ADMIT: admitted, COMPARE: compared, CONCAT: _join_parts}
        self.tests = dict(SAFE_TESTS)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a field; records come first because nearly everything is one."""
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return plain.attribute(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return what `obj[argument]` means for plain data."""
        return plain.item(obj, argument)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call what may be called: macros, `loop`, methods of plain data and the allowed names."""
        current_run.get().spend()
        if isinstance(obj, Macro):
            return context.call(obj, *args, **kwargs)
        # The compiler hands these to whatever is called within a loop or a block; only macros want them.
        kwargs.pop("_loop_vars", None)
        kwargs.pop("_block_vars", None)
        if isinstance(obj, Method):
            return admitted(obj(*args, **kwargs))
        if isinstance(obj, LoopContext):
            return obj(*(each(argument) for argument in args))
        if isinstance(obj, Missing):
            obj()
        if not any(obj is allowed for allowed in GLOBALS.values()):
            raise Refused(f"{plain.kind(obj)} cannot be called")
        return obj(*args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute `left operator right` with numbers of bearable size, text joined or formatted, lists joined."""
        if operator == "%" and isinstance(left, str):
            return plain.formatted(left, right)
        if operator in ("*", "**", "//", "%") and not isinstance(left, (int, float, Decimal, Missing)):
            raise Refused(f'"{operator}" needs numbers, and {plain.kind(left)} is none')
        if not _bearable(operator, left, right):
            raise Refused(f'"{operator}" cannot be used on these: the result would be too big')
        if isinstance(left, str) and isinstance(right, str):
            current_run.get().spend_chars(len(left) + len(right))
        return admitted(self.binop_table[operator](left, right))

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        stream = super()._tokenize(source, name, filename, state)
        return TokenStream(self._bounded(stream), name, filename)

    def _bounded(self, stream: Iterable[Any]) -> Iterator[Any]:
        for count, token in enumerate(stream):
            if count >= self.limits.source_tokens:
                raise TemplateSyntaxError("the template is too long: split it, or shorten it", token.lineno)
            yield token

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return cast("nodes.Template", _Counting().visit(super()._parse(source, name, filename)))


class _Counting(NodeTransformer):
    """Rewrites a template so that what Jinja does without asking the environment asks it: loops, `~`, comparisons,
    slices and lists made by the template."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.iter = _filtered(cast("nodes.Expr", node.iter), EACH)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(nodes.Tuple(node.nodes, "load", lineno=node.lineno, environment=node.environment), CONCAT)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        sides = [node.expr, *(operand.expr for operand in node.ops)]
        if sum(not isinstance(side, nodes.Const) for side in sides) > 1 or any("in" in o.op for o in node.ops):
            node.expr = _filtered(node.expr, COMPARE)
            for operand in node.ops:
                operand.expr = _filtered(operand.expr, COMPARE)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _filtered(node.node, COMPARE)
            return _filtered(node, ADMIT)
        return node

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:  # noqa: N802
        if node.attr.startswith("__"):
            raise TemplateAssertionError(f"'{node.attr}' is not data", node.lineno)
        return self.generic_visit(node)

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(node, ADMIT)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(node, ADMIT)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(node, ADMIT) if node.ctx == "load" else node

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802
        words = _WORDS_OF.get(node.node.name, 0) if isinstance(node.node, nodes.Name) else 0
        if not all(isinstance(part, nodes.Const) for part in node.args[:words]):
            raise TemplateAssertionError("use t() for a text that is not written here", node.lineno)
        return self.generic_visit(node)

    def _alone(self, node: nodes.Node) -> nodes.Node:
        raise TemplateAssertionError("a template stands alone: it has no blocks and loads no other", node.lineno)

    visit_Include = visit_Import = visit_FromImport = visit_Extends = visit_Block = _alone  # noqa: N815


def _filtered(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=node.environment)


def _concat(parts: Iterable[str]) -> str:
    """Join the output of a macro or a block, its size counted beforehand."""
    known = list(parts)
    current_run.get().spend_chars(sum(map(len, known)))
    return "".join(known)


def _join_parts(parts: tuple[object, ...]) -> str:
    return plain.concatenated(parts)


def _bearable(operator: str, left: object, right: object) -> bool:
    whole = [value for value in (left, right) if isinstance(value, int)]
    if any(value.bit_length() > plain.INTEGER_BITS for value in whole):
        return False
    if operator == "*":
        return isinstance(right, (int, float, Decimal, Missing))
    if operator == "**" and len(whole) == 2:
        return whole[0].bit_length() * abs(whole[1]) <= plain.INTEGER_BITS
    return True
