"""From Enter to the next pair, in a real Chromium behind a slow network, on the site as in production.

    python -m bench.next_pair
    python -m bench.next_pair --clips FOLDER --look 1.5

One person judges on the identity track with keys: they look at a pair for `--look` seconds, choose and press
Enter. Times are the browser's: until the next pair is on the page, and until both of its videos have shown a
frame. The network is emulated by Chromium: 100 ms a round trip, 20 Mbit/s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from psycopg.types.json import Jsonb

from bench.web import Site, account, running_site
from bench.web_client import Account
from bench.web_rows import fill_round
from generator.media.display_copies import write_display_copy
from generator.media.encoder import write_clip
from generator.media.video import read_clip
from generator.records import Encoding

ROUND_TRIP_MS, MEGABITS = 100, 20
MAX_JUDGMENTS = 200
#: Of the drawn clips: those of the 5B model. Of so many, pairs are made of two.
WIDTH, HEIGHT, NUM_FRAMES, FPS, NUM_CLIPS = 832, 480, 81, 16, 6
#: What of Chromium would ask for things by itself.
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]

# From Enter on: the next pair is on the page once the key has been dealt with, or once its answer has come.
_MEASURE = """() => {
    window.measured = [];
    addEventListener('keydown', async ({ key }) => {
        if (key !== 'Enter') return;
        const pressed = performance.now(), before = view;
        const isReady = ahead?.task.dataset.ready === '';
        while (view === before) await new Promise(requestAnimationFrame);
        const shown = performance.now() - pressed;
        const frame = (video) => new Promise((done) => video.requestVideoFrameCallback(done));
        await Promise.all(Object.values(view.player.videos).map(frame));
        window.measured.push([shown, performance.now() - pressed, isReady]);
    }, { capture: true });
}"""

_FETCHED = """() => performance.getEntriesByType('resource')
    .map(({ name, encodedBodySize }) => [name.replace(/right$/, 'left'), encodedBodySize])"""


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print; rows go to `var/bench/next_pair.json`."""
    parser = argparse.ArgumentParser(prog="python -m bench.next_pair", description=__doc__)
    parser.add_argument("--judgments", type=int, default=40, help=f"at most {MAX_JUDGMENTS}")
    parser.add_argument("--look", type=float, nargs="*", default=(5.0, 1.5), help="seconds at each pair")
    parser.add_argument("--clips", type=Path, help="folder of MP4 files instead of drawn clips")
    parser.add_argument("--encoding", type=Encoding, choices=Encoding, default=Encoding.FULL)
    options = parser.parse_args(list(arguments))
    from bench.timing import report

    # People wait for their first answer as the site is shipped.
    with running_site(ANSWER_GUARD_MS="400") as site:
        fill_round(site.database, "bench", 600)
        sizes = _store_clips(site, options.clips, options.encoding)
        rows = []
        for look in options.look:
            with _judging(site, account(f"looks-{look}")) as page:
                rows.append(_measure(page, look, min(options.judgments, MAX_JUDGMENTS)))
    report(
        "next_pair",
        rows,
        round_trip_ms=ROUND_TRIP_MS,
        megabits=MEGABITS,
        encoding=options.encoding,
        clip_bytes=sizes,
        load_average=os.getloadavg(),
        cores=os.cpu_count(),
    )


def _store_clips(site: Site, folder: Path | None, encoding: Encoding) -> list[int]:
    """Give the round's samples display copies, and its references a clip; the bytes of the copies."""
    from django.conf import settings

    storage = Path(settings.STORAGE_ROOT)
    sources = sorted(folder.glob("*.mp4")) if folder else list(_drawn(storage / "drawn"))
    for number in range(NUM_CLIPS):
        source = sources[number % len(sources)]
        copy = storage / "shown" / f"{number}.mp4"
        write_display_copy(source, copy, name=str(number), encoding=encoding)
    shutil.copy(sources[0], storage / "x.mp4")
    clip = read_clip(sources[0])
    Image.fromarray(clip.frames[0]).resize((160, 160)).save(storage / "x.png")
    site.database.execute(
        "UPDATE annotate_videosample SET shown_path = 'shown/' || id %% %s || '.mp4', settings = %s",
        [NUM_CLIPS, Jsonb({"fps": clip.fps, "num_frames": len(clip.frames)})],
    )
    return [(storage / "shown" / f"{number}.mp4").stat().st_size for number in range(NUM_CLIPS)]


def _drawn(folder: Path) -> Iterator[Path]:
    """Soft shapes with some grain that drift: about as many bytes as a sampled clip."""
    folder.mkdir(parents=True)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    for number in range(NUM_CLIPS):
        rng = np.random.default_rng(number)
        waves, grain = rng.uniform(0.005, 0.05, (3, 2)), rng.normal(0, 1, (HEIGHT, WIDTH, 3))
        frames = np.empty((NUM_FRAMES, HEIGHT, WIDTH, 3), np.uint8)
        for index, frame in enumerate(frames):
            drift = 0.15 * index
            soft = [127 + 90 * np.sin(down * rows + across * columns + drift) for down, across in waves]
            frame[:] = np.clip(np.stack(soft, axis=-1) + np.roll(grain, index, axis=1), 0, 255)
        write_clip(folder / f"{number}.mp4", frames, FPS)
        yield folder / f"{number}.mp4"


@contextmanager
def _judging(site: Site, person: Account) -> Iterator[Page]:
    """The judging page behind the slow network, with its first pair ready."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise RuntimeError("no Chromium on this machine; apt-get install chromium")
    address = f"http://127.0.0.1:{site.port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 720})
        context.add_cookies([{"name": "sessionid", "value": person.session, "url": address}])
        page = context.new_page()
        page.set_default_timeout(60_000)
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        throughput = MEGABITS * 1e6 / 8
        limits = {"latency": ROUND_TRIP_MS, "downloadThroughput": throughput, "uploadThroughput": throughput}
        network.send("Network.emulateNetworkConditions", {"offline": False, **limits})
        page.goto("/judge/identity/")
        page.wait_for_selector("#task[data-ready]")
        page.wait_for_selector("dialog[open]")
        page.keyboard.press("Escape")  # the guidelines
        page.evaluate("performance.setResourceTimingBufferSize(100000)")
        page.evaluate(_MEASURE)
        yield page
        browser.close()


def _measure(page: Page, look: float, judgments: int) -> dict[str, Any]:
    for done in range(judgments):
        page.wait_for_timeout(1000 * look)
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        page.wait_for_function("(done) => window.measured.length > done", arg=done)
    page.wait_for_function("() => !outbox.waiting.length")
    shown, played, was_ready = zip(*page.evaluate("() => window.measured"), strict=True)
    fetched = page.evaluate(_FETCHED)
    videos, references, pages = (
        sum(size for name, size in fetched if part in name) / (judgments + 2)
        for part in ("/left", "/reference-", "/judge/")
    )
    return {
        "look_s": look,
        "judgments": judgments,
        "fetched_before": sum(was_ready) / judgments,
        "shown_p50_ms": median(shown),
        "shown_p95_ms": _p95(shown),
        "playing_p50_ms": median(played),
        "playing_p95_ms": _p95(played),
        # Of each pair that was fetched: one is looked at and one is ahead when the last answer is given.
        "video_bytes": videos,
        "reference_bytes": references,
        "page_bytes": pages,
    }


def _p95(values: Sequence[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[18]


if __name__ == "__main__":
    main(sys.argv[1:])
