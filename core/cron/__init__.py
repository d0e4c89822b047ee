"""Calling marked methods by the calendar, once per due time across all processes."""
