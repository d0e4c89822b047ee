"""Spans for OpenTelemetry where somebody has set it up, and nothing at all where not.

The library is not imported here: whoever wants traces starts Postroom with `opentelemetry-instrument`, or sets a tracer
provider up before. A span has no address, no subject, no path that may hold a token, and no exception's message.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

_SCOPE = "postroom"
_UNTRACED = nullcontext()


def span(name: str, *, caller: Mapping[str, str] | None = None, **attributes: str | int) -> AbstractContextManager[Any]:
    """Trace the block; gives the span, or None where nobody traces.

    `caller` are the headers of the request that it answers, whose `traceparent` it goes on from (W3C Trace Context).
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None or isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return _UNTRACED
    return _traced(trace, name, caller, attributes)


@contextmanager
def _traced(
    trace: Any, name: str, caller: Mapping[str, str] | None, attributes: Mapping[str, str | int]
) -> Iterator[Any]:
    told = {f"postroom.{name}": value for name, value in attributes.items()}
    kind = trace.SpanKind.INTERNAL if caller is None else trace.SpanKind.SERVER
    with trace.get_tracer(_SCOPE).start_as_current_span(
        name, context=_parent(caller), kind=kind, attributes=told, record_exception=False, set_status_on_exception=False
    ) as begun:
        try:
            yield begun
        except BaseException as error:
            begun.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise


def _parent(caller: Mapping[str, str] | None) -> Any:
    propagate = sys.modules.get("opentelemetry.propagate")
    return None if caller is None or propagate is None else propagate.extract(caller)
