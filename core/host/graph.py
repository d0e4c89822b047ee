"""The order of addons: each after all that it depends on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from core.errors import did_you_mean

ROOT = "core"


def dependency_order(wanted: Iterable[str], depends: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], list[str]]:
    """Return `wanted` and all it needs in dependency order, and every fault in words.

    `depends` maps each known addon to what it names under `depends`; `core` stands before all, unnamed. Addons that
    do not depend on each other keep the order of their names, so that the result is stable.
    """
    faults: list[str] = []
    order: list[str] = []
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in done:
            return
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            faults.append(f"addons depend on each other in a circle: {circle}")
            return
        if name not in depends:
            asked = f"{path[-1]} depends on" if path else "ADDONS names"
            faults.append(f"{asked} the addon {name}, which is not there.{did_you_mean(name, depends)}")
            return
        for needed in sorted(_needs(name, depends)):
            visit(needed, (*path, name))
        if name not in done:
            done.add(name)
            order.append(name)

    for name in sorted({ROOT, *wanted}):
        visit(name, ())
    return tuple(order), list(dict.fromkeys(faults))


def _needs(name: str, depends: Mapping[str, Sequence[str]]) -> set[str]:
    return set(depends[name]) | ({ROOT} if name != ROOT else set())
