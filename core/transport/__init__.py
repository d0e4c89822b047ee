"""The wire: SMTP and IMAP over real sockets. Knows bytes, replies and deadlines; never a record, never the database."""
