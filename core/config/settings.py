"""Every configuration key, its type, default and meaning. `docs/reference/configuration.md` is made from this file."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_network
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from core.errors import did_you_mean


class RetryRule(BaseModel):
    """When mail of one priority is tried again; what is left out is as the RETRY_ keys say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: Literal["linear", "exponential"] | None = None
    minutes: float | None = Field(default=None, gt=0)
    longest_minutes: float | None = Field(default=None, gt=0)
    jitter: float | None = Field(default=None, ge=0, lt=1)
    max_retries: int | None = Field(default=None, ge=0)
    lifetime_hours: float | None = Field(default=None, gt=0)


class Settings(BaseModel):
    """The typed values of one host's configuration; immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ENVIRONMENT: Literal["development", "production"] = Field(
        "development", description="`production` turns off the dev mailbox and every demo convenience."
    )
    DATABASE_URL: str = Field(
        "sqlite://var/postroom.db", description="`sqlite://PATH` or `postgres://USER:PASSWORD@HOST:PORT/NAME`."
    )
    SECRET_KEY: SecretStr = Field(
        SecretStr(""),
        description="Signs sessions and encrypts stored passwords. Made at first run in `var/secret_key` (mode 0600). "
        "Several keys, separated by commas, rotate: the first one writes, all of them read.",
    )
    VAR_DIR: str = Field("var", description="The folder for what this host writes beside its database.")
    BASE_URL: str = Field(
        "",
        description="Public address of this host, used in links; needed for tracking. In development `postroom run` "
        "takes the address that it listens on.",
    )
    HTTP_HOST: str = Field("127.0.0.1", description="Address that the web server listens on.")
    HTTP_PORT: int = Field(8080, ge=0, le=65535, description="Port that the web server listens on; 0 takes a free one.")
    ADDONS: tuple[str, ...] = Field((), description="Addons to install at `init`; empty means all that ship.")
    ADDONS_PATH: tuple[str, ...] = Field((), description="Further folders that hold addons.")
    DEFAULT_LOCALE: str = Field("en", description="Locale of dates and amounts where the recipient's is not known.")
    PHONE_REGION: str = Field(
        "",
        pattern=r"^([A-Z]{2})?$",
        description="Country (ISO code such as `DE`) whose telephone numbers are understood without + and country.",
    )
    DEFAULT_TIMEZONE: str = Field("UTC", description="IANA zone of schedules and dates where none is given.")

    MAIL_MODE: Literal["live", "catch", "hold"] = Field(
        "live",
        description="`live` sends by SMTP; `catch` keeps all mail in the dev mailbox and opens no connection; "
        "`hold` queues and sends nothing.",
    )
    MAIL_DOMAIN: str = Field("localhost", description="Domain of aliases, reply addresses and Message-IDs.")
    CATCHALL_ALIAS: str = Field("catchall", description="Local part of reply addresses (`catchall+TOKEN@MAIL_DOMAIN`).")
    BOUNCE_ALIAS: str = Field("bounce", description="Local part of the envelope sender of outgoing mail.")
    SMTP_SERVER: str = Field("", description="SMTP host used where no OutgoingMailServer record applies.")
    SMTP_PORT: int = Field(587, ge=1, le=65535, description="SMTP port.")
    SMTP_USERNAME: str = Field("", description="Login user.")
    SMTP_PASSWORD: SecretStr = Field(SecretStr(""), description="Login password.")
    SMTP_TLS: Literal["auto", "implicit", "starttls", "none"] = Field(
        "auto",
        description="`auto` means implicit TLS on port 465, else STARTTLS where a login is sent or it is offered.",
    )
    SMTP_USE_SSL: bool | None = Field(
        None, description="Older spelling: true means SMTP_TLS auto, false means none. SMTP_TLS wins."
    )
    SMTP_VERIFY: bool = Field(True, description="Check the server's certificate.")
    SMTP_FROM_EMAIL: str = Field("", description="From address where the author has none.")
    SMTP_FROM_NAME: str = Field("Postroom", description="From name where the author has none.")
    SMTP_CONCURRENCY: int = Field(
        16, ge=1, le=256, description="Deliveries in flight per worker, and so the most that one kill can repeat."
    )
    SMTP_MAX_PER_CONNECTION: int = Field(1000, ge=1, description="Mails sent on one connection before a new one.")
    SMTP_RATE_PER_SECOND: int = Field(0, ge=0, description="Most mails a second through SMTP_SERVER; 0 is no limit.")
    SMTP_RATE_PER_MINUTE: int = Field(0, ge=0, description="Most mails a minute through SMTP_SERVER; 0 is no limit.")
    SMTP_RATE_PER_DAY: int = Field(0, ge=0, description="Most mails a day through SMTP_SERVER; 0 is no limit.")
    SYSTEM_MAIL_FROM: str = Field(
        "", description="From address of what the host itself writes, such as a password reset; empty: SMTP_FROM_EMAIL."
    )
    SYSTEM_MAIL_FROM_NAME: str = Field("", description="From name of the same; empty is SMTP_FROM_NAME.")
    SYSTEM_MAIL_SMTP_SERVER: str = Field(
        "", description="SMTP host for system mail alone; where it is empty, system mail goes as other mail does."
    )
    SYSTEM_MAIL_SMTP_PORT: int = Field(587, ge=1, le=65535, description="Its port.")
    SYSTEM_MAIL_USERNAME: str = Field("", description="Login user there.")
    SYSTEM_MAIL_PASSWORD: SecretStr = Field(SecretStr(""), description="Login password there.")
    SYSTEM_MAIL_USESSL: bool = Field(
        False, description="TLS from the first byte; STARTTLS on the ports 25 and 587. Port 465 always has it."
    )
    SYSTEM_MAIL_STARTTLS: bool = Field(
        False,
        description="Insist on STARTTLS, as is done for a login in any case; only to this machine a password "
        "goes without.",
    )
    SYSTEM_MAIL_SMTP_VALID_CERT: bool = Field(True, description="Check its certificate.")
    ON_UNKNOWN: Literal["retry", "hold"] = Field(
        "retry", description="What follows a try whose outcome nobody knows, unless the message says otherwise."
    )
    MAX_RETRIES: int = Field(3, ge=0, description="Failures by temporary refusals, after which a mail is given up.")
    RETRY_MINUTES: float = Field(5, gt=0, description="The first retry waits so long, the n-th n times as long.")
    RETRY_SCHEDULE: Literal["linear", "exponential"] = Field(
        "linear", description="`exponential` doubles the wait with each retry instead."
    )
    RETRY_LONGEST_MINUTES: float = Field(360, gt=0, description="No exponential wait is longer.")
    RETRY_JITTER: float = Field(
        0,
        ge=0,
        lt=1,
        description="Share of a wait that chance adds or takes away, so that retries do not come at once.",
    )
    RETRY_LIFETIME_HOURS: float = Field(
        0, ge=0, description="No retry begins later than this after the mail was queued; 0 means no such limit."
    )
    RETRY_BY_PRIORITY: dict[Literal["high", "normal", "low"], RetryRule] = Field(
        default_factory=dict,
        description="Other retries for mail of a priority, such as "
        "`{high: {minutes: 1, schedule: exponential, max_retries: 10, lifetime_hours: 2}}`.",
    )
    UNDO_SECONDS: float = Field(
        10, ge=0, le=3600, description="How long a mail written in the web UI waits, so that it can be taken back."
    )
    IDEMPOTENCY_HOURS: float = Field(24, gt=0, description="How long an idempotency key is remembered.")
    RETENTION_DAYS: int = Field(
        0,
        ge=0,
        description="Sent mail of no record, attempts and providers' events are deleted after this; 0 keeps them.",
    )
    FEEDBACK_SENDER: str = Field(
        "", max_length=15, pattern=r"^[A-Za-z0-9_-]*$", description="Names this sender in Feedback-ID headers."
    )
    LEASE_SECONDS: int = Field(60, ge=2, description="How long a claim holds without a heartbeat.")
    CRON_POLL_SECONDS: float = Field(
        10.0, gt=0, description="How often the scheduler and the queue look without being woken."
    )

    PRIVATE_HOSTS_ALLOWED: tuple[str, ...] = Field(
        (),
        description="Networks inside which users' own mail servers, webhooks and providers may be "
        "(`10.1.0.0/16, 192.168.1.7`); otherwise only public addresses are connected to on their behalf.",
    )
    TRACKING: bool = Field(
        True,
        description="Count opens and clicks of the messages that ask for it; needs BASE_URL. Off, no mail carries a "
        "pixel or a counted link, and links in mails of before still lead where they led.",
    )
    TRACKING_DAYS: int = Field(365, ge=1, description="Opens and clicks are forgotten after this; their sums stay.")
    TRACKING_IP: Literal["cut", "whole", "none"] = Field(
        "cut", description="What is kept of a reader's address: its network (/24, /48), all of it, or nothing."
    )

    TRUSTED_AUTHSERV_ID: str = Field("", description="Whose Authentication-Results headers are believed.")
    TRUSTED_RECEIVED_BY: tuple[str, ...] = Field(
        (), description="Names of the servers whose Received lines tell which host a mail came from, for SPF."
    )
    NAME_SERVER: str = Field(
        "",
        description="The DNS that inbound mail is judged by, such as `192.0.2.1` or `[::1]:5353`; empty is the "
        "system's, `off` asks none, so that only TRUSTED_AUTHSERV_ID tells who a mail is from.",
    )
    LMTP_LISTEN: str = Field(
        "",
        pattern=r"^$|^/|^\[?[^/\s]+\]?:\d+$",
        description="Where workers take mail from a mail server on this machine by LMTP: `127.0.0.1:2424`, or the path "
        "of a Unix socket. It asks for no login, so let nobody else reach it; empty is nowhere.",
    )
    WEBHOOK_SECRET: SecretStr = Field(
        SecretStr(""), description="Shared secret of inbound webhooks; empty refuses all."
    )
    MAILGUN_SIGNING_KEY: SecretStr = Field(
        SecretStr(""), description="Mailgun's HTTP webhook signing key: events that it signs need no other secret."
    )
    SENDGRID_PUBLIC_KEY: str = Field(
        "", description="SendGrid's verification key (base64): events that it signs need no other secret."
    )
    SOFT_BOUNCES: int = Field(
        5, ge=1, description="So many different mails bounced within SOFT_BOUNCE_DAYS, and the address is left alone."
    )
    SOFT_BOUNCE_DAYS: int = Field(14, ge=1, description="How long a bounce that may pass is remembered.")
    SOFT_BOUNCE_PAUSE_DAYS: int = Field(14, ge=1, description="For how long such an address is left alone.")

    LOOP_HOPS: int = Field(
        30, ge=1, description="Servers that an inbound mail may have passed; after more it goes round in a circle."
    )
    LOOP_MAILS_PER_HOUR: int = Field(
        100,
        ge=0,
        description="Mails of one sender to one alias within an hour; what comes after waits for a person, as two "
        "machines may be answering each other. 0 is no limit.",
    )
    FALLBACK_ALIAS: str = Field(
        "",
        description="The alias (`support`, or `support@example.com`) that gets inbound mail which nothing else took.",
    )
    REFUSE_POLITELY: bool = Field(
        False,
        description="Tell a verified sender, once, that an address here does not exist or does not take its mail.",
    )
    AUTO_ANSWER_HOURS: float = Field(
        24, gt=0, description="An address gets at most one automatic answer to its mail in this time."
    )
    AUTO_ANSWERS_PER_HOUR: int = Field(
        100, ge=0, description="Automatic answers to mail, to whomever, within an hour; 0 sends none at all."
    )

    SESSION_DAYS: float = Field(7, gt=0, le=365, description="How long a login at a browser holds.")

    API_REQUESTS_PER_MINUTE: int = Field(
        1200, ge=0, description="Requests to the API of one user or token, in each web process; 0 is no limit."
    )
    API_SENDS_PER_MINUTE: int = Field(600, ge=0, description="Those of them that send mail; 0 is no limit.")
    API_REFUSALS_PER_MINUTE: int = Field(
        60, ge=0, description="Requests without a login that an address may make before it has to wait; 0 is no limit."
    )
    AUDIT_DAYS: int = Field(365, ge=0, description="Entries of the audit log are deleted after this; 0 keeps them.")
    LOG_FORMAT: Literal["auto", "json", "console"] = Field(
        "auto", description="How logs are written: `auto` is for people on a terminal and JSON elsewhere."
    )
    METRICS_TOKEN: SecretStr = Field(
        SecretStr(""),
        description="What a scraper sends as bearer token to `/metrics`; empty, only administrators and this machine "
        "may ask.",
    )

    MAX_BODY_BYTES: int = Field(
        30_000_000, ge=1, description="Largest request of whoever is logged in, apart from uploads of files."
    )
    MAX_MAIL_BYTES: int = Field(25_000_000, ge=1, description="Largest raw mail that is fetched, or taken in.")
    MAX_RECIPIENTS: int = Field(100, ge=1, description="Recipients of one message outside campaigns.")
    MAX_ATTACHMENT_BYTES: int = Field(25_000_000, ge=1, description="Largest attachment.")
    MAX_ATTACHMENTS: int = Field(50, ge=0, description="Attachments of one mail.")
    WEBHOOK_PLAIN_HTTP: bool = Field(
        False,
        description="Let webhooks be called by http:// in production too, where what they tell can be read on the way.",
    )
    WEBHOOK_DAYS: int = Field(
        5, ge=1, description="A webhook that nothing has reached for so long is switched off, and the operator told."
    )
    WEBHOOK_CALL_DAYS: int = Field(30, ge=1, description="How long the calls of webhooks are kept.")

    MAX_FILE_BYTES: int = Field(100_000_000, ge=1, le=1_000_000_000, description="Largest file that may be uploaded.")
    UPLOAD_HOURS: float = Field(24, gt=0, description="How long the rest of a file that was begun is waited for.")
    PARSE_SECONDS: float = Field(5.0, gt=0, description="Time that reading one mail may take.")
    PDF_SECONDS: float = Field(10.0, gt=0, description="Time that one PDF may take.")
    PDF_MEGABYTES: int = Field(512, ge=64, description="Memory that one PDF may take.")
    PDF_PAGES: int = Field(200, ge=1, description="Pages that one PDF may have.")
    QUARANTINE_AFTER: int = Field(3, ge=1, description="Failures after which an inbound mail is kept in quarantine.")

    LIVE_STREAMS_PER_USER: int = Field(
        20,
        ge=0,
        description="Streams of live events (`/api/live`) that one user may have open in one process; with 0 pages do "
        "not refresh themselves.",
    )

    @field_validator("DEFAULT_TIMEZONE")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError):
            raise ValueError(f"no such time zone.{did_you_mean(name, available_timezones())}") from None
        return name

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The keys of SECRET_KEY: the first one signs and encrypts, all of them are believed."""
        return _keys(self.SECRET_KEY.get_secret_value())

    @field_validator("PRIVATE_HOSTS_ALLOWED")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            ip_network(network, strict=False)
        return networks

    @property
    def smtp_tls(self) -> str:
        """SMTP_TLS, or what the older SMTP_USE_SSL means."""
        if "SMTP_TLS" not in self.model_fields_set and self.SMTP_USE_SSL is False:
            return "none"
        return self.SMTP_TLS


@lru_cache(maxsize=16)
def _keys(secret: str) -> tuple[str, ...]:
    return tuple(key.strip() for key in secret.split(",") if key.strip())
