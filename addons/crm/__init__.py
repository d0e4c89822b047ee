"""Leads, and what becomes of them."""
