"""Spans where somebody traces: of requests, mails and jobs; with no token and no path in them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from core.runtime import Runtime, get_model
from core.tracing import span
from tests.web.conftest import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield exporter
    provider.shutdown()


async def test_a_request_goes_on_from_its_caller_s_trace(address: str, exporter: InMemorySpanExporter) -> None:
    told = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    async with httpx2.AsyncClient(base_url=address, verify=False) as client:
        await client.get("/unsubscribe/secret-token?sig=secret", headers=told)
    (traced,) = exporter.get_finished_spans()
    assert traced.name == "GET /unsubscribe/{token}"
    assert attributes(traced)["http.response.status_code"] == 404
    assert f"{traced.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert traced.parent is not None
    assert f"{traced.parent.span_id:016x}" == "b7ad6b7169203331"
    assert "secret" not in traced.to_json()


async def test_jobs_and_faults_are_traced(host: Runtime, exporter: InMemorySpanExporter) -> None:
    job = await get_model("CronJob").create(identifier="prune", name="Prune", model="CronRun", method="cron_prune")
    await job.run_now()
    with pytest.raises(ValueError, match="hunter2"), span("mail.send", message=7):
        raise ValueError("password=hunter2")
    run, sent = exporter.get_finished_spans()
    assert (run.name, attributes(run)) == ("cron.run", {"postroom.job": "prune"})
    assert (sent.status.description, attributes(sent)) == ("ValueError", {"postroom.message": 7})
    assert "hunter2" not in sent.to_json()


async def test_without_a_provider_nothing_is_traced(world: World) -> None:
    with span("mail.send") as traced:
        assert traced is None


def attributes(traced: ReadableSpan) -> dict[str, object]:
    return dict(traced.attributes or {})
