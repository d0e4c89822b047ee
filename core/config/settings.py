"""Every configuration key, its type, default and meaning. `docs/reference/configuration.md` is made from this file."""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from core.errors import did_you_mean


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
    BASE_URL: str = Field("", description="Public address of this host, used in links; needed for tracking.")
    HTTP_HOST: str = Field("127.0.0.1", description="Address that the web server listens on.")
    HTTP_PORT: int = Field(8080, ge=0, le=65535, description="Port that the web server listens on; 0 takes a free one.")
    ADDONS: tuple[str, ...] = Field((), description="Addons to install at `init`; empty means all that ship.")
    ADDONS_PATH: tuple[str, ...] = Field((), description="Further folders that hold addons.")
    DEFAULT_LOCALE: str = Field("en", description="Locale of dates and amounts where the recipient's is not known.")
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
    ON_UNKNOWN: Literal["retry", "hold"] = Field(
        "retry", description="What follows a try whose outcome nobody knows, unless the message says otherwise."
    )
    MAX_RETRIES: int = Field(3, ge=0, description="Tries after the first one, for temporary refusals.")
    RETRY_MINUTES: int = Field(5, ge=1, description="The n-th retry waits n times as many minutes.")
    LEASE_SECONDS: int = Field(60, ge=2, description="How long a claim holds without a heartbeat.")
    CRON_POLL_SECONDS: float = Field(
        10.0, gt=0, description="How often the scheduler and the queue look without being woken."
    )

    TRUSTED_AUTHSERV_ID: str = Field("", description="Whose Authentication-Results headers are believed.")
    WEBHOOK_SECRET: SecretStr = Field(
        SecretStr(""), description="Shared secret of inbound webhooks; empty refuses all."
    )

    MAX_MAIL_BYTES: int = Field(25_000_000, ge=1, description="Largest raw mail that is fetched.")
    MAX_RECIPIENTS: int = Field(100, ge=1, description="Recipients of one message outside campaigns.")
    MAX_ATTACHMENT_BYTES: int = Field(25_000_000, ge=1, description="Largest attachment.")
    MAX_ATTACHMENTS: int = Field(50, ge=0, description="Attachments of one mail.")
    PARSE_SECONDS: float = Field(5.0, gt=0, description="Time that reading one mail may take.")
    PDF_SECONDS: float = Field(10.0, gt=0, description="Time that one PDF may take.")
    PDF_MEGABYTES: int = Field(512, ge=64, description="Memory that one PDF may take.")
    PDF_PAGES: int = Field(200, ge=1, description="Pages that one PDF may have.")
    QUARANTINE_AFTER: int = Field(3, ge=1, description="Failures after which an inbound mail is set aside.")

    @field_validator("DEFAULT_TIMEZONE")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError):
            raise ValueError(f"no such time zone.{did_you_mean(name, available_timezones())}") from None
        return name

    @property
    def smtp_tls(self) -> str:
        """SMTP_TLS, or what the older SMTP_USE_SSL means."""
        if "SMTP_TLS" not in self.model_fields_set and self.SMTP_USE_SSL is False:
            return "none"
        return self.SMTP_TLS
