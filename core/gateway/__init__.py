"""The inbound engine: every way in to the spool, spool to timeline, and why a mail went where it went.

fetch    fetch_server(server) -> Fetched            fetch_all() -> visits
         fetch_imap, fetch_pop3: one visit          fetch_watch: waiting (IDLE), fetch_health: what came of it
intake   take_in(raw, source) -> id | None          what is brought; lmtp: by a mail server, load: by a person
spool    store(raw, source) -> id | None            store_many(mails) -> ids by source
receive  process_pending() -> Report                process(ids) -> accounts
         authenticity: who a mail is from           lookup: what the rules may ask about
         decide: the rules, in order                apply, entries, report: carrying out a verdict
         answer: the one answer by program
explain  explain(raw) -> Account                    where a mail would go, nothing written
replay   replay(spool_id) -> Account                replay_all(states) -> accounts, one by one
by_hand  assign, create, discard                    what a person says of a mail that led to nothing
cases    check_cases() -> results                   saved mails, asked about again
load     load(paths) -> accounts, one by one        load_files(files, at_once) -> Loaded
"""
