"""The wire: SMTP, IMAP, POP3, LMTP, HTTP and the DNS over real sockets.

Knows bytes, replies and deadlines; never a record, never the database.
"""
