/* The references beside the pair: one is open at a time, and each keeps how much of it was seen. */
"use strict";

/** Parts a second in which the coverage of a reference clip is kept. */
const PARTS_PER_SECOND = 10;
/** A photo counts as seen once it was open for so long. */
const PHOTO_SEEN_MS = 500;

class References {
  /**
   * @param {HTMLElement} cell where the open one is shown
   * @param {HTMLAnchorElement[]} links one a reference, in order
   * @param {{isFixed: boolean, changed: () => void, failed: (error: Error) => void}} options a fixed
   *     reference is always open
   */
  constructor(cell, links, { isFixed, changed, failed }) {
    Object.assign(this, { cell, isFixed, changed, failed });
    this.items = links.map((link) => ({ link, isClip: link.dataset.kind === "clip", name: link.dataset.name ?? "Reference", url: link.href, share: 0 }));
    this.current = 0;
    this.isOpen = false;
    this.isPlaying = false;
    this.stopping = new AbortController();
    links.forEach((link, index) => {
      if (isFixed) link.removeAttribute("href");
      link.addEventListener("click", (event) => {
        event.preventDefault();
        if (!isFixed) this.isOpen && this.current === index ? this.close() : this.open(index);
      });
    });
    if (isFixed) this.open(0);
  }

  /** Fetch every one, in order; the pair itself comes first. */
  async prefetch() {
    await this.attempt(async () => {
      for (const item of this.items) await this.fetch(item);
    });
  }

  /** A reference that cannot be shown is said; one that is no longer wanted is not. */
  async attempt(work) {
    try {
      await work();
    } catch (error) {
      if (error.name !== "AbortError") this.failed(error);
    }
  }

  fetch(item) {
    item.address ??= fetchWhole(item.url, this.stopping.signal);
    return item.address;
  }

  async open(index) {
    const count = this.items.length;
    if (!count) return;
    this.current = (index + count) % count;
    this.isOpen = true;
    this.cell.hidden = false;
    const item = this.items[this.current];
    const medium = document.createElement(item.isClip ? "video" : "img");
    this.medium = medium;
    this.cell.querySelector(".view").replaceChildren(medium);
    this.caption(item);
    this.changed();
    this.opened = this.attempt(() => (item.isClip ? this.start(item, medium) : this.hang(item, medium)));
    await this.opened;
  }

  /** Show a photo. */
  async hang(item, image) {
    image.alt = `Reference ${this.current + 1}`;
    image.src = await this.fetch(item);
    await image.decode();
    setTimeout(() => {
      if (this.medium !== image) return;
      item.coverage ??= new Coverage(1);
      item.coverage.mark(0);
      this.saw(item, item.coverage.share);
    }, PHOTO_SEEN_MS);
  }

  /** Play a clip, at its own length. */
  async start(item, video) {
    video.muted = video.playsInline = video.loop = true;
    video.setAttribute("aria-label", `Reference ${this.current + 1}`);
    video.src = await this.fetch(item);
    if ((await whenever(video, "loadedmetadata", "error")).type === "error") throw new Error("not decodable");
    if (this.medium !== video) return;
    item.coverage ??= new Coverage(Math.ceil(video.duration * PARTS_PER_SECOND));
    video.addEventListener("timeupdate", () => {
      // Browsers report about four times per second: the parts since the last report were shown too.
      const part = Math.floor(video.currentTime * PARTS_PER_SECOND);
      const from = video.paused || part < item.part ? part : item.part ?? part;
      for (let shown = from; shown <= part; shown++) item.coverage.mark(shown);
      item.part = part;
      this.saw(item, item.coverage.share);
    });
    if (this.isPlaying) await playQuietly(video);
  }

  saw(item, share) {
    item.share = share;
    if (share >= 0.9) item.link.dataset.seen = "";
  }

  caption(item) {
    const number = this.items.length > 1 ? ` ${this.current + 1} of ${this.items.length}` : "";
    this.cell.querySelector("figcaption").textContent = `${item.name}${number}`;
    if (this.isFixed) return;
    this.items.forEach((other) => other.link.setAttribute("aria-current", String(other === item)));
    item.link.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  close() {
    if (this.isFixed) return;
    this.isOpen = false;
    this.cell.hidden = true;
    this.medium?.remove();
    this.medium = null;
    this.items.forEach((item) => item.link.setAttribute("aria-current", "false"));
    this.changed();
  }

  toggle() {
    return this.isOpen ? this.close() : this.open(this.current);
  }

  move(by) {
    return this.open(this.isOpen ? this.current + by : this.current);
  }

  /** A clip plays whenever the pair does, each at its own length. */
  follow(player) {
    this.isPlaying = player.isPlaying;
    if (!(this.medium instanceof HTMLVideoElement)) return;
    this.medium.playbackRate = player.rate;
    if (this.isPlaying && this.medium.paused && this.medium.readyState && this.medium.isConnected) playQuietly(this.medium);
    if (!this.isPlaying) this.medium.pause();
  }

  /** Put the open clip at the pair's time, so that the same frame number is compared; the last one at most. */
  meet(player) {
    if (!(this.medium instanceof HTMLVideoElement) || !this.medium.duration) return;
    this.medium.currentTime = Math.min(player.videos.left.currentTime, this.medium.duration - 0.001);
  }

  get shares() {
    return this.items.map((item) => Number(item.share.toFixed(3)));
  }

  /** What was seen of each, in tenths of a second; a photo has one part. */
  get intervals() {
    return this.items.map((item) => item.coverage?.intervals ?? []);
  }

  destroy() {
    this.stopping.abort();
    if (this.medium instanceof HTMLVideoElement) this.medium.pause();
    this.medium = null;
    this.items.forEach((item) => item.address?.then((address) => URL.revokeObjectURL(address), () => {}));
  }
}
