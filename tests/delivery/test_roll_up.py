"""What a message says of itself, by the states of its deliveries: the least settled one decides."""

from __future__ import annotations

from itertools import combinations_with_replacement

import pytest

from core.delivery.results import roll_up
from core.runtime import Runtime, get_model
from tests.delivery.conftest import queue_mail

pytestmark = pytest.mark.anyio

_LEAST_SETTLED = (
    ("Sending", {("sending", 0), ("sending", 1)}),
    ("Failed", {("queued", 1), ("claimed", 1)}),
    ("Queued", {("queued", 0), ("claimed", 0)}),
    ("Held", {("held", 0), ("held", 1)}),
    ("Unknown", {("unknown", 0), ("unknown", 1)}),
    ("Failed", {("failed", 0), ("failed", 1)}),
    ("Sent", {("sent", 0), ("sent", 1)}),
    ("Cancelled", {("cancelled", 0), ("cancelled", 1)}),
)


async def test_the_least_settled_delivery_decides(host: Runtime) -> None:
    forms = sorted(form for _, forms in _LEAST_SETTLED for form in forms)
    expected, rows = {}, []
    for pair in combinations_with_replacement(forms, 2):
        message = await queue_mail("ada@b.test", "kim@b.test")
        expected[message.pk] = next(state for state, forms in _LEAST_SETTLED if not forms.isdisjoint(pair))
        deliveries = await get_model("Delivery").filter(message_id=message.pk)
        for delivery, (delivery.state, delivery.attempts) in zip(deliveries, pair, strict=True):
            rows.append(delivery)
    await get_model("Delivery").bulk_update(rows, ["state", "attempts"])
    await roll_up(list(expected), {})
    said = await get_model("Message").filter(id__in=list(expected)).values_list("id", "send_state")
    assert dict(said) == expected
