"""WhatsApp: messages on the same queue as mail, through a business account that is a record."""
