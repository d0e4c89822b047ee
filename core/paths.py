"""Where Postroom's own files are, in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_CORE = Path(__file__).resolve().parent


def shipped_data() -> Path:
    """Return the folder of the records that core ships: the wheel's copy, else the checkout's `data/`."""
    packaged = _CORE / "_data"
    return packaged if packaged.is_dir() else _CORE.parent / "data"


def shipped_addons() -> Path:
    """Return the folder of the shipped addons."""
    return _CORE.parent / "addons"
