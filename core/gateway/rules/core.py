"""Core's own rules, in the order in which they are asked."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.rules import (
    alias,
    automatic,
    bounce,
    catch_all,
    challenge,
    complaint,
    duplicate,
    fallback,
    loop,
    mail_account,
    receipt,
    reply_reference,
    reply_token,
    unmatched,
    unsubscribe,
    volume,
)

CORE_RULES: tuple[GatewayRule, ...] = (
    duplicate.RULE,
    loop.RULE,
    unsubscribe.RULE,
    automatic.RULE,
    bounce.RULE,
    complaint.RULE,
    receipt.RULE,
    challenge.RULE,
    volume.RULE,
    reply_token.RULE,
    reply_reference.RULE,
    alias.RULE,
    catch_all.RULE,
    mail_account.RULE,
    fallback.RULE,
    unmatched.RULE,
)
