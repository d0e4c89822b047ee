"""What the access matrix sends to the paths that do not take an empty form or an empty JSON object.

`{name}` stands for the world's value of that name. What is sent here must be understood: a request that is refused for
its form proves nothing about who sent it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Sent:
    """A form, a JSON value or raw bytes, with what goes along; `values` replace the world's in the path.

    `is_kept` says that the path refuses to work within the matrix's transaction, so that its effect stays.
    """

    json: Any = None
    form: Mapping[str, str] | None = None
    raw: bytes | None = None
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    is_kept: bool = False


_TUS = {"Tus-Resumable": "1.0.0"}
_UPLOAD = {"uuid": "{upload}"}
_PIECE = {**_TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
_ORDER = {
    "tableId": "{tid}",
    "recordId": "{rid}",
    "smtpIntegrationId": "{smtp}",
    "fromIdentity": {"name": "Sales", "email": "sales@ours.test"},
    "to": ["carla@buyer.test"],
    "subject": "x",
    "body": "x",
}
_OF_METHOD = {"model": "InboundEmail", "record_id": "{inbound_id}", "method": "discard"}
_PLAYED = {"action": "bounce"}

REQUESTS: Mapping[str, Sent] = MappingProxyType({
    "POST /account/name": Sent(form={"name": "x"}),
    "POST /templates/{identifier}/history": Sent(form={"number": "1"}),
    "POST /dev/mail/new": Sent(form={"sender": "a@buyer.test", "to": "leads@ours.test"}),
    "POST /dev/mail/{caught_id}/{action}": Sent(values=_PLAYED),
    "POST /suppression/add": Sent(form={"address": "b@buyer.test"}),
    "POST /api/auth/tokens": Sent({"name": "x", "scopes": ["read"]}),
    "GET /api/access/explain": Sent(query="login=user@people.test&model=CrmLead"),
    "GET /api/live": Sent(query="topics=record:CrmLead:{record_id}"),
    "POST /api/queue/steer": Sent({"action": "hold", "ids": ["{message_id}"]}),
    "PUT /api/queue/suspension": Sent({"reason": "x"}),
    "PATCH /api/cron/jobs/{job_id}": Sent({"active": True}),
    "POST /cron/{job_id}/run": Sent(is_kept=True),
    "POST /api/cron/jobs/{job_id}/run": Sent(is_kept=True),
    "POST /api/core/mail/send/{account}": Sent({"mail_to": "a@buyer.test", "mail_subject": "x"}),
    "POST /api/records/{model}/{record_id}/call/{method}": Sent({}, values=_OF_METHOD),
    "POST /api/records/{model}/{record_id}/messages": Sent({"text": "x", "to": ["carla@buyer.test"]}),
    "POST /api/records/{model}/{record_id}/notes": Sent({"text": "x"}),
    "POST /api/records/{model}/{record_id}/followers": Sent({"contact": "{contact_id}"}),
    "POST /api/records/{model}/{record_id}/activities": Sent({"due_on": "2030-01-01"}),
    "POST /api/records/{model}/bulk": Sent({"create": [{"name": "x"}]}),
    "POST /api/records/{model}": Sent({"name": "x"}),
    "PATCH /api/records/{model}/{record_id}": Sent({"name": "x"}),
    "POST /api/email/send": Sent(_ORDER),
    "POST /api/email/recordContext": Sent({"tableId": "{tid}", "recordId": "{rid}"}),
    "POST /api/email/signatures/create": Sent({"name": "x"}),
    "POST /api/email/signature/{signature_id}/update": Sent({"name": "x"}),
    "POST /api/suppression": Sent({"address": "b@buyer.test"}),
    "POST /api/suppression/check": Sent({"addresses": ["b@buyer.test"]}),
    "POST /api/suppression/import": Sent({"entries": [{"address": "b@buyer.test", "reason": "manual"}]}),
    "POST /api/campaigns": Sent({"name": "x", "audience_model": "Contact"}),
    "POST /api/mailing-lists/{list_id}/subscribers": Sent({"subscribers": [{"address": "a@buyer.test"}]}),
    "GET /addons/mass_mailing/campaign": Sent(query="id={campaign_id}"),
    "POST /addons/mass_mailing/campaign": Sent(query="id={campaign_id}", form={"action": "start", "count": "1"}),
    "POST /api/routes/explain": Sent({"sender": "a@buyer.test", "to": "leads@ours.test"}),
    "POST /api/inbound/{inbound_id}/assign": Sent({"model": "CrmLead", "record_id": "{record_id}"}),
    "POST /api/inbound/{inbound_id}/create": Sent({"route_id": "{route_id}"}),
    "POST /inbound/{inbound_id}/assign": Sent(form={"model": "CrmLead", "record_id": "{record_id}"}),
    "POST /inbound/{inbound_id}/create": Sent(form={"route_id": "{route_id}"}),
    "POST /api/dev/mail": Sent({"sender": "a@buyer.test", "to": "leads@ours.test"}),
    "POST /api/dev/mail/{caught_id}/{action}": Sent({}, values=_PLAYED),
    "POST /api/files": Sent(
        raw=b"x",
        query="name=x.txt&model=CrmLead&record_id={record_id}",
        headers={"Content-Type": "application/octet-stream"},
    ),
    "POST /api/files/uploads": Sent(raw=b"", headers={**_TUS, "Upload-Length": "1"}),
    "PATCH /api/files/uploads/{uuid}": Sent(raw=b"x", headers=_PIECE, values=_UPLOAD),
    "HEAD /api/files/uploads/{uuid}": Sent(headers=_TUS, values=_UPLOAD),
    "DELETE /api/files/uploads/{uuid}": Sent(headers=_TUS, values=_UPLOAD),
    "POST /api/files/uploads/{uuid}": Sent(
        raw=b"x", headers={**_PIECE, "X-HTTP-Method-Override": "PATCH"}, values=_UPLOAD
    ),
})  # fmt: skip
