"""The records of SMS."""
