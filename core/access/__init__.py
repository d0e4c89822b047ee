"""Who may do what, asked by every page and every API call; code that acts for the system itself does not ask.

Denied unless allowed, in this order: ModelAccess rows through a user's groups; each company's records for itself;
record rules; gates before single fields. What belongs to a record is seen with it.
"""

from core.access.access import Access
from core.access.load import access_of, closure, may
from core.access.right import INTERNAL_GROUP, PORTAL_GROUP, Right
from core.access.rule import Rule

__all__ = ["INTERNAL_GROUP", "PORTAL_GROUP", "Access", "Right", "Rule", "access_of", "closure", "may"]
