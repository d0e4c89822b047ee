"""Saved cases: mails whose way is known, asked about again after a change, so that none goes elsewhere unseen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any

from core import clock
from core.errors import PostroomError
from core.gateway.explain import explain
from core.gateway.values import Account
from core.mail.sketch import Sketch
from core.runtime import get_model, settings


@dataclass(frozen=True, slots=True)
class Way:
    """Where a mail goes: the outcome, what it becomes (`Model`, or `Model:id`), and the rule that decided."""

    outcome: str
    record: str
    rule: str

    @property
    def words(self) -> str:
        return f"{self.outcome}{f' {self.record}' if self.record else ''}{f' by {self.rule}' if self.rule else ''}"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case, what it expects, and what happens now; `error` where it could not even be asked."""

    id: int
    name: str
    expected: Way
    found: Way
    passed: bool
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return asdict(self)


def way_of(account: Account) -> Way:
    """Return where an account says that the mail goes."""
    rule = next((step.rule for step in account.trace if step.hit), "")
    return Way(account.outcome.value, account.record or "", rule)


async def check_cases(ids: list[int] | None = None) -> AsyncIterator[CaseResult]:
    """Ask about every active case, or those, and yield each with its result, which is kept with it."""
    cases = get_model("RouteCase").filter(active=True) if ids is None else get_model("RouteCase").filter(id__in=ids)
    for case in await cases.order_by("name", "id"):
        yield await _checked(case)


async def _checked(case: Any) -> CaseResult:
    expected = Way(case.expected_outcome, case.expected_record, case.expected_rule)
    error = ""
    try:
        found = way_of(await explain(raw_of(case), verified=case.verified or None))
    except PostroomError as fault:
        found, error = Way("", "", ""), str(fault)
    passed = not error and _agrees(expected, found)
    await (
        get_model("RouteCase")
        .filter(id=case.pk)
        .update(
            passed=passed,
            found_outcome=found.outcome,
            found_record=found.record[:120],
            found_rule=found.rule[:100],
            error=error[:2000],
            checked_at=clock.now(),
        )
    )
    return CaseResult(case.pk, case.name, expected, found, passed, error)


def raw_of(case: Any) -> bytes:
    """Return the mail that a case asks about: the bytes that were saved, or the sketch that it describes."""
    if case.content is not None:
        return bytes(case.content)
    texts = {name: getattr(case, name) for name in ("sender", "to", "cc", "subject", "body")}
    return Sketch(**texts, headers=case.headers or {}).raw(settings().MAIL_DOMAIN)


def _agrees(expected: Way, found: Way) -> bool:
    """Whether it went where it should; a record without id is any of its model, an empty rule any rule."""
    record = found.record if ":" in expected.record else found.record.partition(":")[0]
    return expected.outcome == found.outcome and expected.record in ("", record) and expected.rule in ("", found.rule)
