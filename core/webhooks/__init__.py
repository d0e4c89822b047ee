"""Webhooks out: what happens here is told to addresses of others, signed, at least once, in no promised order.

signing   new_secret() -> str                     signature(secrets, id, at, body) -> str
retry     after(answer, attempts) -> Verdict      when to try again, and when to stop
events    EVENTS, about(event, values) -> Happened    what is told of an event: names and ids, no contents
note      note(event, values)                     who is to be told, written in the transaction of what happened
claim     claim, settle, release                  leased and fenced, by the database's clock
courier   Courier, deliver_webhooks(stop)         the loop of a worker
"""
