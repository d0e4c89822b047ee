"""What an addon tests itself with; the only part of Postroom that imports pytest.

One line in a test file of the addon, such as `tests/test_contract.py`, runs the whole contract on it:

    from core.testing import AddonContract as TestContract  # noqa: F401

For tests of its own, `open_addon(folder, url)` opens a host with the addon installed.
"""

from core.testing.contract import AddonContract
from core.testing.hosts import open_addon

__all__ = ["AddonContract", "open_addon"]
