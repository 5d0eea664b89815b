/* Two clips on one clock, played from memory.
 *
 * Left leads and right follows: its rate is nudged while it is a little off and its place is set when it is
 * far off. What was shown, and how well in step, is measured from the frames that the browser presented.
 */
"use strict";

const SPEEDS = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2];
/** Seconds of drift: below, nothing is done; above the second, the follower is seeked. */
const DRIFT_IGNORED_S = 0.02;
const DRIFT_SEEK_S = 0.1;
/** A follower that is off makes it up in a third of a second, at most this share faster or slower than the leader. */
const NUDGE = 0.1;
const NUDGES_PER_SECOND = 3;

class PairPlayer {
  /**
   * @param {{left: HTMLVideoElement, right: HTMLVideoElement}} videos
   * @param {{fps: number, numFrames: number, changed: () => void}} options `changed` is called whenever
   *     something that a page shows may have changed.
   */
  constructor(videos, { fps, numFrames, changed }) {
    Object.assign(this, { videos, fps, numFrames, changed });
    this.pair = [videos.left, videos.right];
    this.speed = SPEEDS.indexOf(1);
    this.slowest = this.fastest = 1;
    this.isLooping = true;
    this.range = { from: 0, to: numFrames - 1 };
    /** The side that something else stands in for just now, so that it is not seen. */
    this.covered = new Set();
    this.isReady = false;
    this.isPlaying = false;
    this.playedMs = { left: 0, right: 0 };
    this.coverage = { left: new Coverage(numFrames), right: new Coverage(numFrames) };
    this.drifts = [];
    this.presented = {};
    this.stopping = new AbortController();
    this.addresses = [];
    this.turn = 0;
  }

  /** Fetch both clips; resolves when both can be played, and rejects when one cannot. */
  async load() {
    const { left, right } = this.videos;
    const urls = [left.currentSrc || left.src, right.currentSrc || right.src];
    this.addresses = await Promise.all(urls.map((url) => fetchWhole(url, this.stopping.signal)));
    await Promise.all(this.pair.map((video, index) => loadInto(video, this.addresses[index])));
    for (const [side, video] of Object.entries(this.videos)) {
      video.addEventListener("ended", () => this.ended());
      this.watch(side, video);
    }
    this.isReady = true;
    this.ticked = performance.now();
    this.ticking = setInterval(() => this.tick(), this.pair[0].requestVideoFrameCallback ? 50 : 15);
    this.changed();
  }

  get rate() {
    return SPEEDS[this.speed];
  }

  get frame() {
    const time = this.isPlaying ? this.presented.left?.mediaTime : this.videos.left.currentTime;
    // A frame's own time may be a rounding error before its start.
    return Math.min(this.numFrames - 1, Math.max(0, Math.floor((time ?? 0) * this.fps + 0.01)));
  }

  get duration() {
    return Math.min(...this.pair.map((video) => video.duration));
  }

  async play() {
    if (!this.isReady || this.isPlaying) return;
    this.isPlaying = true;
    this.changed();
    const [from, to] = this.isLooping ? [this.range.from, this.range.to] : [0, this.numFrames - 1];
    if (this.frame >= to || this.frame < from) await this.place(this.inside(from));
    await this.run();
  }

  async run() {
    if (!this.isPlaying) return;
    this.presented = {};
    this.pair.forEach((video) => (video.playbackRate = this.rate));
    await Promise.all(this.pair.map(playQuietly));
  }

  pause() {
    if (!this.isPlaying) return;
    this.isPlaying = false;
    this.pair.forEach((video) => video.pause());
    this.show(this.frame);
  }

  toggle() {
    return this.isPlaying ? this.pause() : this.play();
  }

  /** A time inside of a frame: the middle is never rounded to its neighbour. The first one starts at 0. */
  inside(frame) {
    return frame ? (Math.min(this.numFrames - 1, frame) + 0.5) / this.fps : 0;
  }

  /** Stop at one frame on both sides. */
  show(frame) {
    this.isPlaying = false;
    this.changed();
    return this.place(this.inside(Math.max(0, frame)));
  }

  step(frames) {
    return this.show(this.frame + frames);
  }

  /** Jump by seconds and keep playing, or stay paused. */
  async jump(seconds) {
    const time = Math.min(this.duration, Math.max(0, this.videos.left.currentTime + seconds));
    if (!this.isPlaying) return this.show(Math.floor(time * this.fps));
    await this.place(time);
    await this.run();
  }

  async restart() {
    if (!this.isReady) return;
    this.isPlaying = true;
    this.changed();
    await this.place(this.inside(this.isLooping ? this.range.from : 0));
    await this.run();
  }

  setLoop(isLooping) {
    this.isLooping = isLooping;
    this.changed();
  }

  /** Move one end of the loop to the frame on the screen; at the end where it is already, let it go. */
  setRange(end) {
    const [free, other] = end === "from" ? [0, "to"] : [this.numFrames - 1, "from"];
    this.range[end] = this.range[end] === this.frame ? free : this.frame;
    if (this.range.from > this.range.to) this.range[other] = other === "to" ? this.numFrames - 1 : 0;
    this.isLooping = true;
    this.changed();
  }

  setSpeed(index) {
    this.speed = Math.min(SPEEDS.length - 1, Math.max(0, index));
    this.slowest = Math.min(this.slowest, this.rate);
    this.fastest = Math.max(this.fastest, this.rate);
    this.pair.forEach((video) => (video.playbackRate = this.rate));
    this.changed();
  }

  /** Put both clips at one time; of several calls at once only the last one counts. */
  async place(time) {
    const turn = ++this.turn;
    this.presented = {};
    this.pair.forEach((video) => video.pause());
    await Promise.all(
      this.pair.map((video) => {
        const settled = whenever(video, "seeked");
        video.currentTime = time;
        return settled;
      }),
    );
    if (turn !== this.turn) return new Promise(() => {}); // A later call took over, and so did its caller.
    this.changed();
  }

  /** The shorter clip ends the turn of both. */
  async ended() {
    if (!this.isPlaying) return;
    if (!this.isLooping) return this.show(this.numFrames - 1);
    await this.restart();
  }

  /** Turn back once the last frame of the loop has had its time on the screen. */
  turnAtEnd(frame) {
    if (!this.isPlaying || !this.isLooping || frame < this.range.to || frame >= this.numFrames - 1) return;
    const turn = this.turn;
    setTimeout(() => this.isPlaying && turn === this.turn && this.restart(), 1000 / this.fps / this.rate);
  }

  /** Follow the frames that the browser presents of one side. */
  watch(side, video) {
    if (!video.requestVideoFrameCallback) return;
    const presented = (now, { mediaTime, expectedDisplayTime }) => {
      if (this.stopping.signal.aborted) return;
      this.saw(side, mediaTime, expectedDisplayTime);
      video.requestVideoFrameCallback(presented);
    };
    video.requestVideoFrameCallback(presented);
  }

  saw(side, mediaTime, at) {
    this.presented[side] = { mediaTime, at };
    const frame = Math.floor(mediaTime * this.fps + 0.01);
    if (!this.covered.has(side)) this.coverage[side].mark(frame);
    if (side === "right") return this.align();
    this.turnAtEnd(frame);
    this.changed();
  }

  /** Compare what both sides last presented, and bring right back into step. */
  align() {
    const { left, right } = this.presented;
    if (!left || !right || !this.isPlaying) return;
    const drift = right.mediaTime - left.mediaTime - (this.rate * (right.at - left.at)) / 1000;
    if (this.drifts.length < 20000) this.drifts.push(Math.abs(drift) * 1000);
    this.correct(drift);
  }

  correct(drift) {
    const { left, right } = this.videos;
    const isFar = Math.abs(drift) > DRIFT_SEEK_S;
    if (isFar) {
      right.currentTime = left.currentTime;
      this.presented = {};
    }
    const nudge = isFar || Math.abs(drift) < DRIFT_IGNORED_S ? 0 : Math.max(-NUDGE, Math.min(NUDGE, -drift * NUDGES_PER_SECOND));
    const rate = this.rate * (1 + nudge);
    if (right.playbackRate !== rate) right.playbackRate = rate;
  }

  /** Count the time that clips are really playing; without frame callbacks this also looks where they are. */
  tick() {
    const now = performance.now();
    const elapsed = now - this.ticked;
    this.ticked = now;
    for (const [side, video] of Object.entries(this.videos)) {
      if (video.paused || video.seeking || video.ended) continue;
      if (document.visibilityState === "visible") this.playedMs[side] += elapsed;
      if (!video.requestVideoFrameCallback) this.saw(side, video.currentTime, now);
    }
  }

  evidence() {
    const sorted = [...this.drifts].sort((one, other) => one - other);
    const at = (share) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
    const rounded = (value, digits) => (value === undefined ? null : Number(value.toFixed(digits)));
    return {
      played_ms: { left: Math.round(this.playedMs.left), right: Math.round(this.playedMs.right) },
      coverage: { left: rounded(this.coverage.left.share, 3), right: rounded(this.coverage.right.share, 3) },
      shown: { left: this.coverage.left.intervals, right: this.coverage.right.intervals },
      max_drift_ms: rounded(at(1), 1),
      p95_drift_ms: rounded(at(0.95), 1),
      speed: this.rate,
      speed_range: [this.slowest, this.fastest],
    };
  }

  destroy() {
    this.stopping.abort();
    clearInterval(this.ticking);
    this.isPlaying = false;
    // A video plays on after it has left the page.
    this.pair.forEach((video) => video.pause());
    this.addresses.forEach((address) => URL.revokeObjectURL(address));
  }
}
