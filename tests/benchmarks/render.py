"""Templates beside bare sandboxed Jinja, and PDFs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from time import perf_counter

from jinja2.sandbox import SandboxedEnvironment

from core.render.environment import Renderer
from core.render.pdf import PdfRenderer
from tests.benchmarks.measure import Row, watch

_BODY = """<p>Dear {{ name }},</p><table>{% for line in lines %}
<tr><td>{{ line.name }}</td><td>{{ line.quantity }}</td><td>{{ line.price }}</td></tr>{% endfor %}</table>
<p>Total: {{ total }}</p>"""
_SUBJECT = "Invoice {{ number }} of {{ name }}"
_DATA = {
    "name": "Kim",
    "number": "2025-0042",
    "total": 420,
    "lines": [{"name": f"Item {number}", "quantity": number, "price": 42} for number in range(10)],
}
_INVOICE = """<style>@page {{ size: A4; margin: 2cm }} td {{ border-bottom: 1px solid #ccc; padding: 4px }}</style>
<h1>Invoice {number}</h1><table>{lines}</table><p>Thank you.</p>"""


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    renderer = Renderer()
    bare = SandboxedEnvironment(autoescape=True)
    count = 500 if quick else 10_000
    for name, ours, template, goal in (
        ("body of 10 lines", lambda: renderer.render(_BODY, _DATA, escape=True), bare.from_string(_BODY), ">= 11500/s"),
        ("subject", lambda: renderer.render_line(_SUBJECT, _DATA), bare.from_string(_SUBJECT), ">= 100000/s"),
    ):
        yardstick = _per_s(lambda template=template: template.render(_DATA), count)  # type: ignore[misc]
        rate = _per_s(ours, count)
        yield Row(f"render {name}", rate, "templates/s", f"{goal}, >= 0.85 x bare", rate / yardstick)
    parses = renderer.compiled.cache_info().misses - 2
    yield Row("template parses in steady state", parses, "parses", "0")
    for row in await _pdfs(5 if quick else 60):
        yield row


def _per_s(render: Callable[[], object], count: int) -> float:
    render()
    with watch() as taken:
        for _ in range(count):
            render()
    return taken.per_s(count)


async def _pdfs(count: int) -> list[Row]:
    lines = "".join(f"<tr><td>Item {number}</td><td>{number * 42}.00</td></tr>" for number in range(12))
    renderer = PdfRenderer()
    try:
        started_at = perf_counter()
        await renderer.render(_INVOICE.format(number=0, lines=lines))
        first_ms = (perf_counter() - started_at) * 1000
        with watch() as taken:
            for number in range(count):
                await renderer.render(_INVOICE.format(number=number, lines=lines))
    finally:
        await renderer.aclose()
    return [Row("first PDF, start included", first_ms, "ms"), Row("PDF", taken.per_s(count), "PDF/s", ">= 16/s")]
