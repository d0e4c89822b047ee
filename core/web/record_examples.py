"""What the OpenAPI document shows of the records API: examples on the CRM's leads, which work when they are pasted.

A test sends each of them to a host with the demo.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path

from core.web.parameters import NO_NUL

LEAD: dict[str, Any] = {
    "id": 1,
    "display_name": "Shelves for a reading room",
    "name": "Shelves for a reading room",
    "stage": "qualified",
    "expected_revenue": "14500.00",
    "contact": {"id": 1, "display_name": "Ada Byron"},
    "created_at": "2026-11-20T09:00:00+00:00",
}
LEADS: dict[str, Any] = {"items": [LEAD], "next_cursor": None, "next_before": None, "count": 1}
NEW_LEAD: dict[str, Any] = {
    "name": "A staircase of oak",
    "contact": 1,
    "email_from": "ada@engine.example",
    "expected_revenue": "8200.00",
}
CHANGED_LEAD: dict[str, Any] = {"stage": "qualified", "expected_revenue": "9000.00"}
FILTER: dict[str, Any] = {
    "and": [
        {"field": "stage", "op": "in", "value": ["new", "qualified"]},
        {"or": [
            {"field": "expected_revenue", "op": "ge", "value": "5000"},
            {"field": "contact.name", "op": "contains", "value": "ada"},
        ]},
    ]
}  # fmt: skip
QUESTION: dict[str, Any] = {
    "filter": FILTER,
    "fields": ["name", "stage", "expected_revenue", "contact.email"],
    "order": ["-expected_revenue"],
    "limit": 20,
    "count": True,
}
FIGURES: dict[str, Any] = {
    "group_by": ["stage", "created_at:month"],
    "figures": {"leads": "count", "revenue": "sum:expected_revenue"},
    "order": ["-revenue"],
}
GROUPS: dict[str, Any] = {
    "groups": [
        {"by": {"stage": "new", "created_at:month": "2026-11-01"}, "values": {"leads": 3, "revenue": "24300.00"}}
    ],
    "has_more": False,
}
BULK: dict[str, Any] = {
    "create": [{"name": "Two benches"}, {"name": "A lectern", "expected_revenue": "700.00"}],
    "update": [{"id": 1, "stage": "won"}],
    "partial": False,
}

ModelName = Annotated[str, Path(max_length=100, pattern=NO_NUL, examples=["CrmLead"])]
"""The name of a model, in the path."""


def exampled(example: Any, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a path with an example of its answer."""
    return {status: {"content": {"application/json": {"example": example}}}}
