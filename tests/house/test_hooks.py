"""A hook stands in `core/hookspecs.py` only with somebody who uses it."""

from __future__ import annotations

import importlib

import pytest

from core import hookspecs
from core.host.loader import load_addons


def hook_names() -> list[str]:
    return sorted(name for name, value in vars(hookspecs).items() if hasattr(value, f"{hookspecs.PROJECT}_spec"))


@pytest.fixture(scope="module")
def users() -> dict[str, list[str]]:
    loaded = load_addons((), ())
    loaded.registry.close()
    return {name: loaded.hooks.users_of(name) for name in hook_names()}


def test_every_hook_has_a_user(users: dict[str, list[str]]) -> None:
    assert len(users) >= 15
    assert [name for name, addons in users.items() if not addons] == []


@pytest.mark.parametrize("name", hook_names())
def test_its_name_says_its_kind(name: str) -> None:
    hook = getattr(hookspecs, name)
    is_async = hook.__code__.co_flags & 0x80
    assert bool(is_async) is not name.startswith("register_"), f"{name}: contributions are sync, all others async"
    assert hook.__doc__


def test_the_shipped_addons_explain_what_their_hooks_do() -> None:
    for module in ("core.addon", "addons.crm.hooks", "addons.invoicing.hooks"):
        for name, value in vars(importlib.import_module(module)).items():
            if hasattr(value, f"{hookspecs.PROJECT}_impl") and not name.startswith("register_"):
                assert value.__doc__, f"{module}.{name}"
