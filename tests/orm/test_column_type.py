from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.orm.column_type import column_type, widened


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("VARCHAR(200)", "character varying(200)"),
        ("DECIMAL(10,2)", "numeric(10,2)"),
        ("TIMESTAMPTZ", "timestamp with time zone"),
        ("BIGINT", "bigint"),
        ("INT", "integer"),
        ("BOOL", "boolean"),
        ("DOUBLE PRECISION", "double precision"),
        ("JSONB", "jsonb"),
    ],
)
def test_both_spellings_of_a_type_are_one(ours: str, theirs: str) -> None:
    assert column_type(ours) == column_type(theirs)


def test_families_do_not_hold_each_other() -> None:
    assert not column_type("TEXT").holds(column_type("INT"))
    assert column_type("text").holds(column_type("VARCHAR(10)"))
    assert not column_type("VARCHAR(10)").holds(column_type("TEXT"))
    assert column_type("BIGINT").holds(column_type("SMALLINT"))
    assert column_type("geometry(point,4326)") == column_type("GEOMETRY(POINT,4326)")


decimals = st.tuples(st.integers(1, 20), st.integers(0, 10)).map(lambda pair: f"DECIMAL({pair[0] + pair[1]},{pair[1]})")


@given(decimals, decimals)
def test_a_widened_decimal_holds_both(live: str, wanted: str) -> None:
    wider = column_type(widened(live, wanted))
    assert wider.holds(column_type(live))
    assert wider.holds(column_type(wanted))
