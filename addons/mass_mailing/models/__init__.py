"""The records of mass mailing."""
