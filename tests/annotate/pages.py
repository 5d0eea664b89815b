"""Pages of people and of leads."""

from __future__ import annotations

PAGES = ("/", "/judge/identity/", "/judge/controllability/", "/account/token/", "/account/numbers/")


LEADS_PAGES = (
    "/rounds/",
    "/rounds/{round}/",
    "/rounds/{round}/launch/",
    "/rounds/{round}/adjudication/",
    "/rounds/{round}/pairs/",
    "/rounds/{round}/votes/",
    "/rounds/{round}/notes/",
    "/rounds/{round}/gold/",
    "/rounds/{round}/numbers/",
    "/rounds/{round}/plan/",
    "/annotators/",
    "/models/",
    "/models/compare/",
    "/models/{policy}/",
    "/people/",
    "/people/prompts/",
    "/accounts/",
    "/webhooks/",
    "/judgments/",
    "/entry-links/",
    "/studies/",
)
