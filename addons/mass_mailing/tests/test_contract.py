from core.testing import AddonContract as TestContract  # noqa: F401
