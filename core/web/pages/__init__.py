"""The HTML pages, one file a subject."""
