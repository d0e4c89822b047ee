"""Signatures, checked by the reference library and by the example of the specification."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook as Receiver

from core.errors import UserError
from core.webhooks.signing import new_secret, require_secret, signature


def test_the_specification_s_own_example() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = signature([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_reference_library_agrees() -> None:
    secrets = [new_secret(), new_secret()]
    now = datetime.now(UTC).replace(microsecond=0)
    body = '{"a":"ü"}'.encode()
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature(secrets, "evt_1", int(now.timestamp()), body),
    }
    for secret in secrets:
        assert Receiver(secret).verify(body, headers) == {"a": "ü"}


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA", "abc", "whsec_!!!!", "whsec_" + "A" * 100])
def test_a_secret_that_is_none(secret: str) -> None:
    with pytest.raises(UserError, match="whsec_"):
        require_secret(secret)
    require_secret(new_secret())
