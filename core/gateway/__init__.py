"""The inbound engine: mailboxes to spool, spool to timeline, and why a mail went where it went.

fetch    fetch_server(server_id) -> Fetched         fetch_all() -> Report
spool    store(raw, source) -> id | None            store_many(mails) -> ids by source
receive  process_pending(limit) -> Report           process(ids) -> accounts
explain  explain(raw) -> Account                    replay(spool_id) -> Account
load     load(paths) -> accounts, one by one
"""
