/* One pair: its player, its references and its answer. It can be made ready before it is on the page. */
"use strict";

class PairView {
  /**
   * @param {HTMLElement} task the page's part of one pair
   * @param {{send: () => void, undo: () => void, cancel: () => boolean, openKeys: () => void,
   *     openGuide: () => void, guidelines: string, guardMs: number}} desk what leads
   *     from pair to pair; `cancel` says whether there was anything to go back to; sooner than `guardMs`
   *     after a pair was shown it takes no answer
   */
  constructor(task, desk) {
    Object.assign(this, { task, desk, activeMs: 0, focused: "left", held: "" });
    const cell = (name) => task.querySelector(`[data-cell=${name}]`);
    this.stage = task.querySelector(".stage");
    this.player = new PairPlayer(
      { left: cell("left").querySelector("video"), right: cell("right").querySelector("video") },
      { fps: Number(task.dataset.fps), numFrames: Number(task.dataset.numFrames), changed: () => this.draw() },
    );
    this.zoom = new Zoom(this.stage);
    this.references = new References(cell("reference"), [...task.querySelectorAll("a[data-kind]")], {
      isFixed: task.classList.contains("controllability"),
      changed: () => this.draw(),
      failed: ({ message }) => this.say(`A reference cannot be shown (${message}). Reload, or say so with “Cannot judge”.`),
    });
    const form = task.querySelector("form.answer");
    const options = { unwatched: () => this.unwatched, changed: () => this.draw() };
    this.answer = form.matches(".by-criteria") ? new CriteriaAnswer(form, options) : new Answer(form, options);
    this.own = Number(task.dataset.own);
    this.wire();
    this.say("Loading both videos …");
    this.playable = this.load();
  }

  get lease() {
    return this.answer.lease;
  }

  get choice() {
    return this.answer.choice;
  }

  /** Fetch both videos, then the references. */
  async load() {
    try {
      await this.player.load();
    } catch (error) {
      if (error.name !== "AbortError") this.say(whyNotPlayable(error));
      return;
    }
    this.say("");
    this.task.dataset.ready = "";
    this.fetched = this.references.prefetch();
  }

  /** Come onto the page. */
  async enter() {
    this.isEntered = true;
    this.enteredAt = performance.now();
    const { of } = this.task.dataset;
    this.task.querySelector(".own").textContent = `${this.own}${of ? ` of ${of}` : ""} judged by you`;
    if (!this.answer.hint.classList.contains("problem")) this.answer.say();
    this.missing = this.answer.missing;
    this.answer.keep();
    this.task.focus({ preventScroll: true });
    this.draw();
    if (this.task.dataset.opens === "reference" && !this.references.isOpen) this.references.open(0);
    await this.playable;
    if (this.isEntered && !matchMedia("(prefers-reduced-motion: reduce)").matches) await this.player.play();
  }

  leave() {
    this.isEntered = false;
    this.player.pause();
  }

  destroy() {
    this.leave();
    this.player.destroy();
    this.references.destroy();
  }

  say(text) {
    const loading = this.task.querySelector(".loading");
    loading.textContent = text;
    loading.hidden = !text;
  }

  /** What the track's watch gate still asks for, in words, or "". The server checks it, too. */
  get unwatched() {
    const wanted = Number(this.task.dataset.watch);
    for (const side of SIDES) {
      const shown = Math.round(100 * this.player.coverage[side].share);
      if (shown < wanted) return `Watch the ${side} video first: ${shown} of ${wanted} %`;
    }
    return "";
  }

  get shownMs() {
    return Math.round(performance.now() - this.enteredAt);
  }

  /** Whether a press was most likely meant for the pair before. */
  get isTooNew() {
    return this.shownMs < this.desk.guardMs;
  }

  tellTooNew() {
    this.answer.tell("That press came as this pair appeared, so it was ignored. Look, then answer.", true);
  }

  evidence() {
    const { coverage, shown, ...rest } = this.player.evidence();
    return {
      active_ms: Math.round(this.activeMs),
      answered_after_ms: this.shownMs,
      ...rest,
      coverage: { ...coverage, references: this.references.shares },
      shown: { ...shown, references: this.references.intervals },
      viewport: [innerWidth, innerHeight],
      guideline_version: this.desk.guidelines,
    };
  }

  // -- acts -----------------------------------------------------------------------------------------

  /** Whether this page has such an act. */
  offers(act) {
    if (["gallery", "previous", "next"].includes(act)) return !this.references.isFixed;
    if (act === "changes") return this.task.querySelector(".changes") !== null;
    return this.answer.offers(act);
  }

  act(name) {
    const { player, references, answer, zoom } = this;
    const acts = {
      play: () => player.toggle(),
      restart: () => player.restart(),
      back: () => player.step(-1),
      forward: () => player.step(1),
      jumpBack: () => player.jump(-0.5),
      jumpOn: () => player.jump(0.5),
      slower: () => player.setSpeed(player.speed - 1),
      faster: () => player.setSpeed(player.speed + 1),
      normal: () => player.setSpeed(SPEEDS.indexOf(1)),
      loop: () => player.setLoop(!player.isLooping),
      loopStart: () => player.setRange("from"),
      loopEnd: () => player.setRange("to"),
      zoom: () => (zoom.cycle(), this.draw()),
      panLeft: () => zoom.pan(PAN_STEP, 0),
      panRight: () => zoom.pan(-PAN_STEP, 0),
      panUp: () => zoom.pan(0, PAN_STEP),
      panDown: () => zoom.pan(0, -PAN_STEP),
      gallery: () => references.toggle(),
      previous: () => references.move(-1),
      next: () => references.move(1),
      changes: () => this.task.querySelector(".changes").toggleAttribute("hidden"),
      slightly: () => answer.setStrength("slightly"),
      clearly: () => answer.setStrength("clearly"),
      why: () => answer.togglePanel("why"),
      note: () => answer.togglePanel("note"),
      break: () => answer.mark(this.focused, player.frame),
      undo: () => this.desk.undo(),
      full: () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()),
      guide: () => this.desk.openGuide(),
      keys: () => this.desk.openKeys(),
    };
    if (name in CHOICES && this.isTooNew) return this.tellTooNew();
    if (name in CHOICES) this.choose(name);
    else acts[name]();
    this.draw();
  }

  choose(name) {
    this.answer.choose(name);
    if (SIDES.includes(name)) this.focused = name;
  }

  /** Something that lasts while a key or a button is down: "soloLeft", "soloRight", "compare"; "" ends it. */
  async hold(name) {
    const { references } = this;
    if (this.isBorrowed && !name) references.close();
    this.held = name;
    this.isBorrowed = name === "compare" && !references.isOpen;
    if (name === "soloLeft") this.focused = "left";
    if (name === "soloRight") this.focused = "right";
    this.draw();
    if (name !== "compare") return;
    await (this.isBorrowed ? references.open(references.current) : references.opened);
    references.meet(this.player);
  }

  escape() {
    if (this.answer.isOpen) this.answer.closePanels();
    else if (!this.desk.cancel()) this.answer.unchoose();
  }

  // -- what is shown ------------------------------------------------------------------------------------

  /** Bring what is shown in line with the state. */
  draw() {
    const { task, player, references, answer, zoom } = this;
    if (!answer) return;
    references.follow(player);
    zoom.draw();
    this.drawStage();
    const press = (name, isOn) => task.querySelector(`[data-act=${name}]`)?.setAttribute("aria-pressed", String(isOn));
    const { range, numFrames } = player;
    const states = {
      play: player.isPlaying, loop: player.isLooping, gallery: references.isOpen, zoom: zoom.scale > 1,
      loopStart: range.from > 0, loopEnd: range.to < numFrames - 1, normal: player.rate === 1,
      changes: !task.querySelector(".changes")?.hidden, full: Boolean(document.fullscreenElement),
      note: answer.form.elements.note.value !== "", why: answer.form.querySelector(".why :checked") !== null,
      break: answer.breaks.length > 0, ...Object.fromEntries(HELD.map((name) => [name, this.held === name])),
    };
    for (const [name, isOn] of Object.entries(states)) press(name, isOn);
    task.querySelector("[data-act=play] .unseen").textContent = player.isPlaying ? "Pause" : "Play";
    task.querySelector(".speed").textContent = `${player.rate}×`;
    task.querySelector(".zoomed-to").textContent = zoom.words;
    task.querySelector(".frame").textContent = `frame ${player.frame + 1} of ${numFrames}`;
    this.drawTimeline();
    if (this.isEntered && answer.missing !== this.missing) {
      this.missing = answer.missing;
      if (!this.missing || !answer.hint.classList.contains("problem")) answer.say();
    }
  }

  drawStage() {
    const { stage, held, focused, player } = this;
    const solo = { soloLeft: "left", soloRight: "right" }[held];
    player.covered = new Set(solo ? SIDES.filter((side) => side !== solo) : held === "compare" ? [focused] : []);
    stage.dataset.focused = focused;
    stage.toggleAttribute("data-borrowed", this.isBorrowed === true);
    stage.dataset.held = solo ? `solo-${solo}` : held === "compare" ? `compare-${focused}` : "";
    const wanted = Number(this.task.dataset.watch);
    for (const side of SIDES) {
      const isSeen = 100 * player.coverage[side].share >= wanted;
      stage.querySelector(`[data-cell=${side}]`).toggleAttribute("data-seen", wanted > 0 && isSeen);
    }
  }

  drawTimeline() {
    const { player, answer } = this;
    const position = this.task.querySelector(".position");
    const last = player.numFrames - 1;
    position.max = last;
    position.value = player.frame;
    const line = position.parentElement;
    line.classList.toggle("ranged", player.range.from > 0 || player.range.to < last);
    line.style.setProperty("--from", player.range.from / player.numFrames);
    line.style.setProperty("--to", (player.range.to + 1) / player.numFrames);
    const drawn = JSON.stringify(answer.breaks);
    if (line.dataset.breaks === drawn) return;
    line.dataset.breaks = drawn;
    line.querySelectorAll("i").forEach((old) => old.remove());
    for (const { side, frame } of answer.breaks) {
      const mark = document.createElement("i");
      mark.title = `${side} breaks at frame ${frame + 1}`;
      mark.className = side;
      mark.style.setProperty("--at", (frame + 0.5) / player.numFrames);
      line.append(mark);
    }
  }

  /** Show on every button the key that presses it. */
  label(keys) {
    for (const button of this.task.querySelectorAll("[data-act], [data-key]")) {
      const key = shownKey(keys.keyOf(button.dataset.act ?? button.dataset.key));
      const shown = button.querySelector("kbd");
      if (shown) shown.textContent = key;
      (button.matches("label") ? button.querySelector("input") : button).setAttribute("aria-keyshortcuts", key);
      if (button.matches("button")) button.title = `${ACTS[button.dataset.act].words} (${key})`;
    }
  }

  wire() {
    for (const button of this.task.querySelectorAll("[data-act]")) {
      // A click leaves the focus where it was, so that Space goes on playing instead of pressing this again.
      button.addEventListener("mousedown", (event) => event.preventDefault());
      if (HELD.includes(button.dataset.act)) this.wireHeld(button);
      else button.addEventListener("click", () => this.act(button.dataset.act));
    }
    for (const side of SIDES) {
      this.player.videos[side].addEventListener("click", () => {
        if (this.zoom.isDragged) return;
        this.focused = side;
        this.act("play");
      });
    }
    this.task.querySelector(".position").addEventListener("input", ({ target }) => this.player.show(Number(target.value)));
    this.answer.form.addEventListener("click", (event) => {
      if (!event.detail || !this.isTooNew) return; // Keys have been looked at by the page.
      event.preventDefault();
      event.stopPropagation();
      this.tellTooNew();
    }, { capture: true });
    this.answer.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.desk.send();
    });
  }

  wireHeld(button) {
    button.addEventListener("pointerdown", () => {
      this.hold(button.dataset.act);
      addEventListener("pointerup", () => this.hold(""), { once: true });
    });
    button.addEventListener("keydown", ({ key, repeat }) => [" ", "Enter"].includes(key) && !repeat && this.hold(button.dataset.act));
    button.addEventListener("keyup", () => this.hold(""));
  }
}

const HELD = Object.keys(ACTS).filter((act) => ACTS[act].held);

function whyNotPlayable(error) {
  if (error.message === "status 404") return "This pair is no longer yours: it was open for too long. Reload the page.";
  if (error.message === "not decodable") return "A video does not play in this browser. Say so with “Cannot judge”.";
  return "A video could not be loaded: the site cannot be reached. Reload the page to try again.";
}
