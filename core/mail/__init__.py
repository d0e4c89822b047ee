"""E-mail as values: bytes and values in, values out. No database, no network, no clock, no randomness of its own.

values   Mailbox File OutgoingEmail IncomingEmail Reply Bounce BouncedRecipient
address  parse_address(text) -> Mailbox              tolerant_addresses(header_text) -> tuple[Mailbox, ...]
         envelope_address(address) -> str            needs_smtputf8(address) -> bool
         domain_of(address) -> str                   normalised(address) -> str
         format_mailbox(mailbox) -> str              header_text(value) -> str
compose  compose(email: OutgoingEmail) -> bytes
dkim     sign(content, keys) -> bytes                read_private_key(pem) -> PrivateKey
published  judge_key, judge_spf, judge_dmarc -> Finding
parse    parse(raw: bytes, limits: Limits = Limits()) -> IncomingEmail
         (with header_fields part_header parameters boundary transfer_encoding flowed uuencoded rtf tnef cms event)
thread   message_id(unique, domain) -> str           ids_in(header_text) -> tuple[str, ...]
         alias_of(address) -> tuple[str, str]        reply_address(token, alias, domain) -> str
         tokens_in(addresses, alias, domain) -> tuple[str, ...]
body     html_to_text(html) -> str                   text_to_html(text) -> str
sanitise  safe_html(html, resolve_cid, *, remote_images=False) -> str    cleaned_html(...) -> Cleaned
quotation  passages(text) -> tuple[Passage, ...]
         split_reply(text) -> Reply                  split_reply_html(html) -> Reply
words    decode_text(data, charset) -> str           decoded_words(text) -> str
charset  decode(data, declared, hint) -> Decoded     codec_of(charset) -> str | None
date     read_date(text) -> datetime | None          file_name  safe_file_name(name) -> str
tnef     read_tnef(data) -> Tnef | None              event  read_event(text, method) -> Event | None
automatic  automatic_reason, program_reason, no_answer_reason (email) -> str | None
guard    loop_reason(email, instance, max_hops) -> str | None          loop_tag(secret) -> str
authentication  reported(email, trusted) -> Authentication | None
dmarc    judge(names, author, checks) -> Authentication                 dkim_check  Sealed(raw).check(...) -> Check
spf      check_spf(names, client, return_path) -> Check
brought  brought_in_json, brought_in_form -> Brought
notice   read_notice(email, is_automatic) -> Bounce | Complaint | Receipt | Challenge | None
bounce   read_bounce(email) -> Bounce | None         bounce_cause  cause_of(status, words) -> Cause
retry    classify(phase, code, enhanced) -> Outcome  next_try_after(retry_count, schedule) -> timedelta | None
"""
