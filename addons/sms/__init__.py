"""SMS: texts to telephones on the same queue as mail, through a provider that is a record."""
