"""Rendering: templates to text, HTML to PDF. Plain data in, text or bytes out; no records, no database, no network."""
