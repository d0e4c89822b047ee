"""Queue and send with django-post_office and django-mailer, in a process of their own: `PEER PORT BYTES FOLDER`.

Reads one count of mails a line. Queues them one by one, as many in bulk, sends all of them, and prints one JSON object:
seconds of CPU and of the wall for each. Both keep their queue on SQLite, and send as their documentation has it.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import django
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.management import call_command

from tests.benchmarks.mails import SENDER, Body, body_of, recipient
from tests.benchmarks.measure import use_own_core, watch


def main(peer: str, port: int, bytes_wanted: int, folder: str) -> None:
    use_own_core()
    logging.disable(logging.CRITICAL)
    _configure(peer, port, folder)
    body = body_of(bytes_wanted)
    queue_one, queue_bulk, send = _of_post_office(body) if peer == "post_office" else _of_mailer(body)
    for line in sys.stdin:
        count = int(line)
        with watch() as single:
            for number in range(count):
                queue_one(number)
        with watch() as bulk:
            queue_bulk(range(count, count * 2))
        with watch() as sending:
            send()
        print(json.dumps({"single": asdict(single), "bulk": asdict(bulk), "sending": asdict(sending)}), flush=True)


def _configure(peer: str, port: int, folder: str) -> None:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/{peer}.db"}},
        INSTALLED_APPS=["django.contrib.contenttypes", peer],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        EMAIL_HOST="127.0.0.1",
        EMAIL_PORT=port,
        EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
        MAILER_EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
        MAILER_USE_FILE_LOCK=False,
        POST_OFFICE={"BACKENDS": {"default": "django.core.mail.backends.smtp.EmailBackend"}, "BATCH_SIZE": 500},
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        USE_TZ=True,
        SECRET_KEY="of a benchmark",
    )
    django.setup()
    call_command("migrate", verbosity=0)


_Steps = tuple[Callable[[int], Any], Callable[[range], Any], Callable[[], Any]]


def _of_post_office(body: Body) -> _Steps:
    from post_office import mail

    def asked(number: int) -> dict[str, Any]:
        return {
            "recipients": [recipient(number)],
            "sender": SENDER,
            "subject": "Café",
            "html_message": body.html,
            "message": body.text,
        }

    def send() -> None:
        while mail.send_queued(processes=1)[0]:
            pass

    return lambda number: mail.send(**asked(number)), lambda numbers: mail.send_many(map(asked, numbers)), send


def _of_mailer(body: Body) -> _Steps:
    from mailer.backend import DbBackend
    from mailer.engine import send_all

    def mails(numbers: range) -> Iterator[EmailMultiAlternatives]:
        for number in numbers:
            one = EmailMultiAlternatives("Café", body.text, SENDER, [recipient(number)])
            one.attach_alternative(body.html, "text/html")
            yield one

    queue = DbBackend().send_messages
    return (
        lambda number: queue(list(mails(range(number, number + 1)))),
        lambda numbers: queue(list(mails(numbers))),
        send_all,
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
