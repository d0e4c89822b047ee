"""All that commands load, for a process that they are forked from."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import core.cli
import core.host.host

for _file in sorted(Path(core.cli.__file__).parent.glob("*.py")):
    import_module(f"core.cli.{_file.stem}")
