"""The rules for inbound mail, one file each: decision apart from change. A rule reads and answers; it never writes."""
