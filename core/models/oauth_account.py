"""`OAuthAccount`: a sign-in at a mail provider (OAuth 2), which mail servers use in place of a password."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class OAuthAccount(Record):
    """One sign-in. The fields from `status` on belong to the sign-in itself; nobody writes them by hand."""

    _title = "Mail sign-ins"

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    name = fields.CharField(max_length=200)
    provider = fields.SelectionField(
        {"google": "Google", "microsoft": "Microsoft 365", "custom": "Other"}, default="custom"
    )
    tenant = fields.CharField(max_length=200, default="")
    """Microsoft's directory (tenant) id or domain; empty means any organisation."""
    client_id = fields.CharField(max_length=500)
    client_secret = fields.SecretField(default="")
    """Empty for a public client, which PKCE alone protects."""
    authorization_url = fields.CharField(max_length=500, default="")
    """Empty means the provider's own; so does an empty `token_url` or `scopes`."""
    token_url = fields.CharField(max_length=500, default="")
    scopes = fields.TextField(default="")
    """Separated by spaces."""
    status = fields.SelectionField(
        {"new": "Not signed in yet", "ready": "Signed in", "refused": "Sign in again"}, default="new"
    )
    last_error = fields.TextField(default="")
    access_token = fields.SecretField(default="")
    refresh_token = fields.SecretField(default="")
    expires_at = fields.DatetimeField(null=True)
    """When the access token ends; it is renewed before."""
    refresh_until_at = fields.DatetimeField(null=True)
    """When the sign-in itself ends, where the provider says so."""
    signed_in_at = fields.DatetimeField(null=True)
    version = fields.IntField(default=0)
    """Grows with every change of tokens, so that of two writers the later one sees the first."""
    lease_token = fields.CharField(max_length=32, null=True)
    lease_until = fields.DatetimeField(null=True)
    """While one worker renews the access token, the others wait."""
    flow_state = fields.CharField(max_length=64, default="")
    """What the provider must bring back to end the sign-in under way, hashed."""
    flow_session = fields.CharField(max_length=64, default="")
    """The browser session that began it, hashed; empty where the command line did."""
    flow_verifier = fields.SecretField(default="")
    flow_redirect_url = fields.CharField(max_length=500, default="")
    flow_until = fields.DatetimeField(null=True)
