"""The records of invoicing."""
