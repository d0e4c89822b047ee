"""The records of the CRM."""
