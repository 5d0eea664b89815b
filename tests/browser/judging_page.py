"""The judging page in the words of a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page


@dataclass
class JudgingPage:
    page: Page

    def wait_until_ready(self) -> None:
        self.page.wait_for_selector("#task[data-ready]")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    @property
    def lease(self) -> str:
        return self.page.locator("[name=lease]").input_value()

    @property
    def hint(self) -> str:
        return self.page.locator(".answer .hint").inner_text()

    @property
    def choice(self) -> str:
        return str(self.page.evaluate("() => view.choice"))

    def show(self, frame: int) -> None:
        """Stop both videos at a frame."""
        self.page.evaluate("(frame) => view.player.show(frame)", frame)

    def wait_until_next_is_fetched(self) -> None:
        self.page.wait_for_function("() => ahead?.task.dataset.ready === '' && ahead.fetched")
        self.page.wait_for_function("() => ahead.fetched.then(() => true)")

    def measure_next(self) -> None:
        """From Enter on, `next` becomes the ms to the next pair's page and frames, and what was asked for."""
        self.page.evaluate(
            """() => addEventListener('keydown', async ({ key }) => {
                if (key !== 'Enter' || window.next) return;
                const pressed = performance.now();
                performance.clearResourceTimings();
                window.next = new Promise((resolve) => queueMicrotask(async () => {
                    const shown = performance.now() - pressed;
                    const { left, right } = view.player.videos;
                    const frame = (video) => new Promise((done) => video.requestVideoFrameCallback(done));
                    await Promise.all([frame(left), frame(right)]);
                    const requests = performance.getEntriesByType('resource').map(({ name }) => name)
                        .filter((name) => !name.startsWith('blob:') && !name.endsWith('/judge/identity/'));
                    window.measured = { shown, played: performance.now() - pressed, requests };
                    resolve();
                }));
            }, { capture: true })"""
        )

    def watch_whole(self) -> None:
        """Wait until every frame of both videos was on screen."""
        self.page.wait_for_function(
            "() => Object.values(view.player.coverage).every(({ share }) => share === 1)"
        )

    def submit(self) -> None:
        """Press Enter and wait for what comes next, which must come without loading the page again."""
        self.page.evaluate("() => { window.sameDocument = true; }")
        lease = self.lease
        self.press("Enter")
        self.page.wait_for_function(
            "(lease) => document.querySelector('[name=lease]')?.value !== lease", arg=lease
        )
        assert self.page.evaluate("() => window.sameDocument"), "the page was loaded again"
        self.wait_until_stored()

    def wait_until_stored(self) -> None:
        self.page.wait_for_function("() => !outbox.waiting.length && !outbox.isSending")

    def frames(self) -> list[int]:
        """The frame that each side shows, read off its pixels: the clips' block stands at 4 x frame."""
        measured: list[Any] = self.page.evaluate(
            """() => ['left', 'right'].map((side) => {
                const video = document.querySelector(`[data-cell=${side}] video`);
                const canvas = new OffscreenCanvas(64, 64).getContext('2d');
                canvas.drawImage(video, 0, 0, 64, 64);
                const row = canvas.getImageData(0, 30, 64, 1).data;
                let sum = 0, count = 0;
                for (let x = 0; x < 64; x++) if (row[4 * x] - row[4 * x + 2] > 100) { sum += x; count++; }
                return Math.round((sum / count - 5.5) / 4);
            })"""
        )
        return measured
