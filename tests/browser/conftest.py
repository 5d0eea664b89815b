"""A real Chromium on the real site: signed in, watched for script errors and refused content."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.test import Client
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from annotate.models import User
from tests.annotate.jobs_done import do_jobs
from tests.browser.judging_page import JudgingPage
from tests.factories import make_user

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

#: How long a page may take where many programs share two cores; nothing waits longer than it must.
PATIENCE_MS = 30_000

Visit = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        missing = "no Chromium on this machine; apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's own event loop runs in this thread, and makes Django think that it is in one.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, live_server: Any) -> Iterator[Visit]:
    """`visit(user, path)` opens a window of its own; options are those of a browser context.

    Users come with a session, since the form is tried by the tests of signing in. Who `is_new` has not read
    any guidelines.
    """
    faults: list[str] = []
    contexts = []

    def on_console(message: ConsoleMessage) -> None:
        # What a lost connection or a 409 makes the browser and htmx say; tests cause them on purpose.
        if message.type == "error" and not message.text.startswith(("Failed to load resource", "htmx:")):
            faults.append(message.text)

    def open_page(user: User | None, path: str = "/", *, is_new: bool = False, **options: Any) -> Page:
        options = {"viewport": {"width": 1280, "height": 720}} | options
        context = chromium.new_context(base_url=live_server.url, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        if not is_new:
            has_read_the_guidelines(page)
        page.on("console", on_console)
        page.on("pageerror", lambda error: faults.append(str(error)))
        if user is not None:
            cookie = {"name": settings.SESSION_COOKIE_NAME, "value": session_of(user)}
            context.add_cookies([{**cookie, "url": live_server.url}])
        page.goto(path)
        return page

    with waiting_for_the_server():
        yield open_page
        for context in contexts:
            context.close()
    assert not faults, faults


@contextmanager
def waiting_for_the_server() -> Iterator[None]:
    """Leave only when no request is under way: one that still reads would block the tables' clean-up."""
    under_way: list[None] = []

    def begin(**_: Any) -> None:
        under_way.append(None)

    def end(**_: Any) -> None:
        if under_way:
            under_way.pop()

    request_started.connect(begin)
    request_finished.connect(end)
    try:
        yield
        quiet = 0
        for _ in range(200):
            quiet = 0 if under_way else quiet + 1
            if quiet == 4:
                break
            time.sleep(0.05)
    finally:
        request_started.disconnect(begin)
        request_finished.disconnect(end)


def session_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def has_read_the_guidelines(page: Page) -> None:
    """From the first page on that asks: everybody has, but for the test of the guidelines."""
    page.add_init_script(
        """document.addEventListener('readystatechange', () => {
            const judging = document.querySelector('#judging');
            if (!judging) return;
            const { person, guidelines } = judging.dataset;
            localStorage.setItem(`guidelines of ${person}: ${location.pathname}`, JSON.stringify(guidelines));
        })"""
    )


def sign_in(page: Page, user: User) -> None:
    """The name field has the focus; Tab and Enter do the rest."""
    # A browser gives it the focus with the first picture, which may come after the load event.
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type(user.username)
    page.keyboard.press("Tab")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type("a good password")
    with page.expect_navigation():
        page.keyboard.press("Enter")


@pytest.fixture
def judge(visit: Visit) -> Callable[..., JudgingPage]:
    """`judge(user, track)` signs in and waits until both videos can be played."""

    def open_judging(user: User, track: str, **options: Any) -> JudgingPage:
        judging = JudgingPage(visit(user, f"/judge/{track}/", **options))
        judging.wait_until_ready()
        return judging

    return open_judging


@pytest.fixture
def ana(transactional_db: None) -> User:
    return make_user("ana")


@pytest.fixture
def ben(transactional_db: None) -> User:
    return make_user("ben")


@pytest.fixture
def lea(transactional_db: None) -> User:
    return make_user("lea", role=User.Role.LEAD)


def follow_job(page: Page) -> None:
    """Go on from a job's page once the worker of jobs has done it."""
    expect(page.get_by_text("waits for a worker")).to_be_visible()
    do_jobs()
    page.reload()
    page.get_by_role("link", name="Go on").click()
