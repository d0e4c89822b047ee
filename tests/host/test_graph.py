from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.host.graph import dependency_order

NAMES = [f"a{number}" for number in range(8)]
graphs = st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=8, max_size=8)


def test_order_is_core_first_then_what_is_needed() -> None:
    depends = {"core": (), "crm": ("contacts",), "contacts": (), "other": ()}
    assert dependency_order(["crm"], depends) == (("core", "contacts", "crm"), [])


def test_missing_and_circular_dependencies_are_told_together() -> None:
    depends = {"core": (), "a": ("b",), "b": ("a", "conatcts"), "contacts": ()}
    _, faults = dependency_order(["a", "gone"], depends)
    assert faults == [
        "addons depend on each other in a circle: a -> b -> a",
        'b depends on the addon conatcts, which is not there. Did you mean "contacts"?',
        "ADDONS names the addon gone, which is not there.",
    ]


@given(graphs)
def test_each_addon_comes_after_all_that_it_needs(edges: list[list[int]]) -> None:
    depends = {"core": ()} | {name: tuple({NAMES[to] for to in edges[at] if to < at}) for at, name in enumerate(NAMES)}
    order, faults = dependency_order(NAMES, depends)
    assert not faults
    assert order[0] == "core"
    assert sorted(order) == sorted(depends)
    assert all(order.index(needed) < order.index(name) for name in NAMES for needed in depends[name])


@given(graphs)
def test_a_circle_is_told_exactly_when_there_is_one(edges: list[list[int]]) -> None:
    depends = {"core": ()} | {name: tuple({NAMES[to] for to in edges[at]}) for at, name in enumerate(NAMES)}
    _, faults = dependency_order(NAMES, depends)

    def reaches(name: str, goal: str, seen: set[str]) -> bool:
        return any(
            needed == goal or (needed not in seen and reaches(needed, goal, seen | {needed}))
            for needed in depends[name]
        )

    assert bool(faults) == any(reaches(name, name, {name}) for name in NAMES)
