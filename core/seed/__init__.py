"""Seeds: YAML files of records, read, resolved and applied."""
