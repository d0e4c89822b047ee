"""The records of WhatsApp."""
