/* The judging page: one pair at a time, by keys or buttons. The form works without any of this. */
"use strict";

/** Without a key or a movement for this long, nobody is looking. */
const IDLE_MS = 60_000;

class JudgingRoom {
  constructor(task) {
    this.task = task;
    this.form = task.querySelector("form.answer");
    this.lease = this.form.elements.lease.value;
    this.hint = task.querySelector(".hint");
    this.input = "mouse";
    this.activeMs = 0;
    const cell = (name) => task.querySelector(`[data-cell=${name}]`);
    this.player = new PairPlayer(
      { left: cell("left").querySelector("video"), right: cell("right").querySelector("video") },
      { fps: Number(task.dataset.fps), numFrames: Number(task.dataset.numFrames), changed: () => this.draw() },
    );
    this.references = new References(cell("reference"), [...task.querySelectorAll("a[data-kind]")], {
      isFixed: task.classList.contains("controllability"),
      changed: () => this.draw(),
      failed: ({ message }) => this.say(`A reference cannot be shown (${message}). Reload, or press 0 and say so.`),
    });
    this.wireButtons();
    this.wireAnswer();
    this.restoreAnswer();
    this.draw();
    this.load();
  }

  // -- videos -----------------------------------------------------------------------------------

  async load() {
    this.say("Loading both videos …");
    try {
      await this.player.load();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.say(whyNotPlayable(error));
      return;
    }
    this.say("");
    this.task.dataset.ready = "";
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) await this.player.play();
    await this.references.prefetch();
  }

  say(text) {
    const loading = this.task.querySelector(".loading");
    loading.textContent = text;
    loading.hidden = !text;
  }

  act(name) {
    const { player, references } = this;
    const acts = {
      play: () => player.toggle(),
      restart: () => (references.rewind(), player.restart()),
      back: () => player.step(-1),
      forward: () => player.step(1),
      jumpBack: () => player.jump(-0.5),
      jumpOn: () => player.jump(0.5),
      loop: () => player.setLoop(!player.isLooping),
      slower: () => player.setSpeed(player.speed - 1),
      faster: () => player.setSpeed(player.speed + 1),
      normal: () => player.setSpeed(SPEEDS.indexOf(1)),
      gallery: () => references.toggle(),
      previous: () => references.move(-1),
      next: () => references.move(1),
      keys: () => document.querySelector("#keys").showModal(),
    };
    acts[name]();
  }

  /** Bring what is shown in line with the state. */
  draw() {
    const { task, player, references } = this;
    if (!references) return;
    references.follow(player);
    const press = (name, isOn) => task.querySelector(`[data-act=${name}]`)?.setAttribute("aria-pressed", String(isOn));
    press("play", player.isPlaying);
    press("loop", player.isLooping);
    press("gallery", references.isOpen);
    task.querySelector("[data-act=play] .unseen").textContent = player.isPlaying ? "Pause" : "Play";
    task.querySelector(".speed").textContent = `${player.rate}×`;
    task.querySelector(".frame").textContent = `frame ${player.frame + 1} of ${player.numFrames}`;
    const position = task.querySelector(".position");
    position.max = player.numFrames - 1;
    position.value = player.frame;
  }

  wireButtons() {
    for (const button of this.task.querySelectorAll("[data-act]")) {
      // A click leaves the focus where it was, so that Space goes on playing instead of pressing this again.
      button.addEventListener("mousedown", (event) => event.preventDefault());
      button.addEventListener("click", () => this.act(button.dataset.act));
    }
    for (const side of ["left", "right"]) {
      this.player.videos[side].addEventListener("click", () => this.act("play"));
    }
    this.task.querySelector(".position").addEventListener("input", (event) => {
      this.player.show(Number(event.target.value));
    });
  }

  // -- answer -----------------------------------------------------------------------------------

  get choice() {
    return this.form.elements.choice.value;
  }

  choose(value) {
    for (const radio of this.form.elements.choice) radio.checked = radio.value === value;
    this.input = "keys";
    this.chosen();
    if (value === "unsure") this.form.elements.reason[0].focus();
    else if (this.form.contains(document.activeElement)) document.activeElement.blur();
  }

  unchoose() {
    for (const radio of [...this.form.elements.choice, ...this.form.elements.reason]) radio.checked = false;
    if (this.form.contains(document.activeElement)) document.activeElement.blur();
    this.chosen();
  }

  /** Say what is still missing, and keep the answer for a reload. */
  chosen() {
    const hasReason = this.form.elements.reason.value !== "";
    if (this.choice !== "unsure") for (const radio of this.form.elements.reason) radio.checked = false;
    this.isComplete = this.choice !== "" && (this.choice !== "unsure" || hasReason);
    this.form.querySelector(".submit").setAttribute("aria-disabled", String(!this.isComplete));
    if (!this.choice) this.tell("Choose an answer, then press Enter.");
    else if (!this.isComplete) this.tell("Say why you cannot judge, then press Enter.");
    else this.tell("Press Enter to submit, Esc to take it back.");
    const kept = { lease: this.lease, choice: this.choice, reason: this.form.elements.reason.value };
    sessionStorage.setItem("answer", JSON.stringify(kept));
  }

  restoreAnswer() {
    const problem = this.hint.classList.contains("problem") ? this.hint.textContent : "";
    const kept = JSON.parse(sessionStorage.getItem("answer") ?? "{}");
    if (kept.lease === this.lease) {
      for (const radio of this.form.elements.choice) radio.checked = radio.value === kept.choice;
      for (const radio of this.form.elements.reason) radio.checked = radio.value === kept.reason;
    }
    this.chosen();
    if (problem) this.tell(problem, true);
  }

  tell(text, isProblem = false) {
    this.hint.textContent = text;
    this.hint.classList.toggle("problem", isProblem);
  }

  wireAnswer() {
    this.form.addEventListener("pointerdown", () => (this.input = "mouse"));
    this.form.addEventListener("change", () => this.chosen());
    // Before htmx (or the browser) sends: an answer that is not complete says so instead.
    this.form.addEventListener("submit", (event) => this.beforeSubmit(event), { capture: true });
  }

  beforeSubmit(event) {
    if (this.isComplete) {
      this.form.elements.evidence.value = JSON.stringify(this.evidence());
      this.tell("Sending …");
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    if (this.choice) this.tell("Say why you cannot judge.", true);
    else this.tell("Choose an answer first: 1 left, 2 right, 3 tie, 4 both bad, 0 cannot judge.", true);
  }

  /** The answer stays in the form with its key, so that sending it again can never store it twice. */
  notSent(text, remedy = "press Enter to send it again") {
    this.tell(`${text} Your answer is kept here: ${remedy}.`, true);
    this.isUnsent = true;
  }

  refused(status) {
    // 403: somebody signed in or out in another tab, so this page's token is no longer valid.
    if (status === 403) this.notSent("Not stored: this page is too old.", "reload the page, then press Enter");
    else this.notSent(`Not stored (status ${status}).`);
  }

  evidence() {
    const { coverage, ...rest } = this.player.evidence();
    return {
      active_ms: Math.round(this.activeMs),
      ...rest,
      coverage: { ...coverage, references: this.references.evidence() },
      viewport: [innerWidth, innerHeight],
      input: this.input,
    };
  }

  destroy() {
    this.player.destroy();
    this.references.destroy();
  }
}

function whyNotPlayable(error) {
  if (error.message === "status 404") return "This pair is no longer yours: it was open for too long. Reload the page.";
  if (error.message === "not decodable") return "A video does not play in this browser. Press 0 and say so.";
  return "A video could not be loaded: the site cannot be reached. Reload the page to try again.";
}

// -- keys -----------------------------------------------------------------------------------------

const CHOICES = { 1: "left", 2: "right", 3: "tie", 4: "both_bad", 0: "unsure" };
const ACTS = {
  " ": "play", r: "restart", l: "loop",
  ",": "back", ".": "forward", ArrowLeft: "jumpBack", ArrowRight: "jumpOn",
  "<": "slower", ">": "faster", "\\": "normal",
  g: "gallery", j: "previous", k: "next", "?": "keys",
};
const REPEATED = ["back", "forward", "jumpBack", "jumpOn"];
const OF_GALLERY = ["gallery", "previous", "next"];
/** Keys by place, for layouts that type these signs only with Shift. */
const PLACES = { Comma: "back", Period: "forward" };

/** What a key asks for: a choice, or an act of the player. */
function meaning({ key, code }) {
  const typed = key.length === 1 ? key.toLowerCase() : key;
  if (typed in CHOICES) return { choice: CHOICES[typed] };
  if (typed in ACTS) return { act: ACTS[typed] };
  return { choice: CHOICES[/^Digit([0-9])$/.exec(code)?.[1]], act: PLACES[code] };
}

/** Whether a key belongs to what has the focus: buttons and links are pressed, lists are moved through. */
function isTaken(event) {
  const focused = document.activeElement;
  const [isArrow, isSpace] = [event.key.startsWith("Arrow"), event.key === " "];
  if (focused.matches("input[type=radio]")) return isArrow || (isSpace && !focused.checked);
  if (focused.matches("input[type=range]")) return isArrow;
  if (focused.matches("button, a")) return isSpace;
  return focused.matches("input, select, textarea");
}

function pressed(event) {
  if (!room || event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Enter") return enter(event);
  if (event.key === "Escape") return room.unchoose();
  if (isTaken(event)) return;
  const { choice, act } = meaning(event);
  if ((!choice && !act) || (OF_GALLERY.includes(act) && room.references.isFixed)) return;
  event.preventDefault();
  if (event.repeat && !REPEATED.includes(act)) return;
  if (choice) room.choose(choice);
  else room.act(act);
}

/** Enter sends from anywhere but a link or a button, which it presses; a key held down sends once. */
function enter(event) {
  if (document.activeElement.matches("a, button:not(.submit)")) return;
  event.preventDefault();
  if (event.repeat) return;
  room.input = "keys";
  room.form.requestSubmit();
}

// -- from pair to pair ------------------------------------------------------------------------------

let room = null;
let lastMoved = performance.now();
let lastCounted = performance.now();

function enterRoom() {
  room?.destroy();
  room = null;
  const task = document.querySelector("#task.judge");
  if (!task || !task.offsetParent) return; // Nothing to judge, or a window that is too small.
  room = new JudgingRoom(task);
  task.focus({ preventScroll: true });
}

function countActive() {
  const now = performance.now();
  const isActive = document.visibilityState === "visible" && now - lastMoved < IDLE_MS;
  if (room && isActive) room.activeMs += now - lastCounted;
  lastCounted = now;
}

/** An answer to a request that was sent elsewhere (a sign-in page) must not land inside this page. */
function beforeSwap(event) {
  const { xhr } = event.detail;
  if (new URL(xhr.responseURL, location.href).pathname === location.pathname) return;
  event.detail.shouldSwap = false;
  location.reload();
}

document.addEventListener("keydown", pressed);
for (const name of ["keydown", "pointermove", "pointerdown"]) {
  document.addEventListener(name, () => (lastMoved = performance.now()), { passive: true });
}
setInterval(countActive, 250);
document.body.addEventListener("htmx:beforeSwap", beforeSwap);
// Not after the swap: until it settles, htmx lends the new element the attributes of the old one.
document.body.addEventListener("htmx:afterSettle", enterRoom);
document.body.addEventListener("htmx:sendError", () => room?.notSent("Not sent: the site cannot be reached."));
document.body.addEventListener("htmx:timeout", () => room?.notSent("Not sent: the site does not answer."));
document.body.addEventListener("htmx:responseError", (event) => room?.refused(event.detail.xhr.status));
addEventListener("online", () => room?.isUnsent && room.form.requestSubmit());
addEventListener("resize", () => room ?? enterRoom());
enterRoom();
