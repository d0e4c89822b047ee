"""Rendering: templates to text, HTML to PDF. Plain data in, text or bytes out; no records, no database, no network."""

from core.lean import lean_import

with lean_import():
    import jinja2  # noqa: F401 - whoever imports it next finds it loaded
