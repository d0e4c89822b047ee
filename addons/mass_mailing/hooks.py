"""What mass mailing adds to the host."""

from __future__ import annotations

from core.api import Command, Page, Route, hookimpl

from . import commands, pages
from .models.campaign import Campaign
from .models.campaign_recipient import CampaignRecipient
from .models.mailing_list import MailingList
from .models.mailing_subscription import MailingSubscription

_ONE = "/api/campaigns/{campaign_id}"


@hookimpl
def register_models() -> list[type]:
    return [MailingList, MailingSubscription, Campaign, CampaignRecipient]


@hookimpl
def register_routes() -> list[Route]:
    from . import api  # It brings FastAPI, which commands can do without.

    return [
        Route("GET", "/api/campaigns", api.campaigns, "Campaigns, newest first"),
        Route("POST", "/api/campaigns", api.create, "Make a draft", status=201),
        Route("GET", _ONE, api.campaign, "One campaign"),
        Route("PATCH", _ONE, api.update, "Change a draft"),
        Route("DELETE", _ONE, api.delete, "Delete a draft", status=204),
        Route("GET", f"{_ONE}/audience", api.audience, "Whom would it go to?"),
        Route("POST", f"{_ONE}/test", api.test, "Send me a test", scope="mail"),
        Route("POST", f"{_ONE}/start", api.start, "Start, now or at a time", scope="mail"),
        Route("POST", f"{_ONE}/pause", api.pause, "Pause", scope="mail"),
        Route("POST", f"{_ONE}/resume", api.resume, "Go on", scope="mail"),
        Route("POST", f"{_ONE}/cancel", api.cancel, "Stop for good", scope="mail"),
        Route("POST", f"{_ONE}/retry", api.retry, "Write again to those who failed", scope="mail"),
        Route("GET", f"{_ONE}/statistics", api.statistics, "The campaign in figures"),
        Route("GET", f"{_ONE}/recipients", api.recipients, "Who gets it, and what became of it"),
        Route("GET", f"{_ONE}/recipients.csv", api.export, "The same as a file", media_type="text/csv"),
        Route("POST", "/api/mailing-lists/{list_id}/subscribers", api.subscribe, "Put many on a list"),
    ]


@hookimpl
def register_pages() -> list[Page]:
    return [
        Page("campaigns", "campaigns.html", pages.campaigns, "Campaigns", topics=("queue",)),
        Page("campaign", "campaign.html", pages.campaign, "Campaign", menu=False, act=pages.act, topics=("queue",)),
    ]


@hookimpl
def register_commands() -> list[Command]:
    return [
        Command("ls", commands.ls, "List the campaigns, and why one stands still."),
        Command("start", commands.start, "Freeze the audience and begin.", "7"),
        Command("pause", commands.pause, "Send no more of it, also nothing that waits in the queue.", "7 wrong price"),
        Command("resume", commands.resume, "Go on.", "7"),
        Command("cancel", commands.cancel, "Stop it for good.", "7"),
        Command("retry", commands.retry, "Write again to those whose mail failed.", "7"),
        Command("report", commands.report, "Print the campaign in figures.", "7"),
    ]
