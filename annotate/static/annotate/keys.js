/* What keys do. Everyone may change them, in their own browser. */
"use strict";

/** The answers, as the site has them: their keys and words, which take a side, abstain or are offered here. */
const CHOICES = JSON.parse(document.querySelector("#choices").textContent);
const SIDES = Object.keys(CHOICES).filter((choice) => CHOICES[choice].takes_side);

/** Every act (none for sound: clips are written without audio): its key, what it does, and `held` (while the key is down) or `repeated` (while it is held). */
const ACTS = {
  ...CHOICES,
  slightly: { key: "s", words: "slightly better" },
  clearly: { key: "c", words: "clearly better" },
  why: { key: "e", words: "reasons" },
  note: { key: "n", words: "note" },
  break: { key: "b", words: "mark where the focused video breaks" },
  undo: { key: "u", words: "change the last answer" },
  play: { key: " ", words: "play or pause" },
  restart: { key: "r", words: "restart" },
  back: { key: ",", words: "one frame back", repeated: true },
  forward: { key: ".", words: "one frame on", repeated: true },
  jumpBack: { key: "ArrowLeft", words: "half a second back", repeated: true },
  jumpOn: { key: "ArrowRight", words: "half a second on", repeated: true },
  slower: { key: "<", words: "slower" },
  faster: { key: ">", words: "faster" },
  normal: { key: "\\", words: "normal speed" },
  loopStart: { key: "[", words: "loop from here" },
  loopEnd: { key: "]", words: "loop to here" },
  loop: { key: "l", words: "loop on or off" },
  soloLeft: { key: "q", words: "only left, while held", held: true },
  soloRight: { key: "w", words: "only right, while held", held: true },
  compare: { key: "v", words: "reference in place of the focused video, while held", held: true },
  zoom: { key: "z", words: "zoom" },
  panLeft: { key: "Shift+ArrowLeft", words: "move the zoomed view left", repeated: true },
  panRight: { key: "Shift+ArrowRight", words: "… right", repeated: true },
  panUp: { key: "Shift+ArrowUp", words: "… up", repeated: true },
  panDown: { key: "Shift+ArrowDown", words: "… down", repeated: true },
  gallery: { key: "g", words: "open or close a reference" },
  previous: { key: "j", words: "previous reference" },
  next: { key: "k", words: "next reference" },
  changes: { key: "p", words: "show or hide the changes" },
  full: { key: "f", words: "full screen" },
  guide: { key: "h", words: "how to judge" },
  keys: { key: "?", words: "these keys" },
};
/** Keys that forms and browsers need; they keep their meaning. */
const FIXED = { Enter: "submit and go on", Escape: "close, or take the answer back", Tab: "move the focus" };
const NAMES = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc" };

function shownKey(name) {
  const [, shift = "", key] = /^(Shift\+)?(.+)$/s.exec(name);
  const shown = NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key);
  return shift ? `Shift ${shown}` : shown;
}

class Keys {
  /** @param {() => void} changed called whenever a key has another meaning */
  constructor(changed) {
    this.changed = changed;
    this.options = { letters: true, atOnce: false, ...kept.read("key options") };
    this.own = kept.read("keys") ?? {};
  }

  keyOf(act) {
    return this.own[act] ?? ACTS[act].key;
  }

  actOf(names) {
    const acts = Object.keys(ACTS);
    return names.map((name) => acts.find((act) => this.keyOf(act) === name)).find(Boolean);
  }

  /** The act that a pressed key asks for. Without letters, a key that types one still has the sign of its place. */
  meaning(event) {
    const names = namesOf(event);
    return this.actOf(this.options.letters ? names : names.filter((name) => !LETTER.test(name)));
  }

  /** Give an act another key; why that cannot be, or "". */
  change(act, event) {
    const names = namesOf(event);
    const name = nameOf(names);
    if (!name) return "This key cannot be used. Press another key.";
    if (name in FIXED) return `${shownKey(name)} is kept: ${FIXED[name]}. Press another key.`;
    const taken = this.actOf(names);
    if (taken && taken !== act) return `${shownKey(name)} is taken: ${ACTS[taken].words}. Press another key, or change that one first.`;
    this.own[act] = name;
    this.keep();
    return "";
  }

  reset() {
    this.own = {};
    this.keep();
  }

  setOption(name, isOn) {
    this.options[name] = isOn;
    this.keep();
  }

  keep() {
    kept.write("keys", this.own);
    kept.write("key options", this.options);
    this.changed();
  }
}

/** The list of all keys, in which each can be changed. */
class KeysDialog {
  constructor(dialog, keys) {
    Object.assign(this, { dialog, keys });
    dialog.addEventListener("keydown", (event) => this.pressed(event));
    dialog.addEventListener("close", () => this.listen(null));
    dialog.querySelector(".reset").addEventListener("click", () => (keys.reset(), this.draw("These are the usual keys again.")));
    for (const box of dialog.querySelectorAll("[data-option]")) {
      box.addEventListener("change", () => keys.setOption(box.dataset.option, box.checked));
    }
  }

  /** @param {(act: string) => boolean} isOffered whether this page has such an act */
  open(isOffered) {
    this.acts = Object.keys(ACTS).filter(isOffered);
    this.draw("Choose a key here to change it.");
    this.dialog.showModal();
  }

  draw(says) {
    const row = (shown, words) => {
      const item = document.createElement("li");
      item.append(shown, words);
      return item;
    };
    const changeable = this.acts.map((act) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.key = act;
      button.textContent = shownKey(this.keys.keyOf(act));
      button.setAttribute("aria-label", `${ACTS[act].words}: ${button.textContent}. Change`);
      button.addEventListener("click", () => this.listen(button));
      return row(button, ACTS[act].words);
    });
    const fixed = Object.keys(FIXED).map((name) => {
      const key = document.createElement("kbd");
      key.textContent = shownKey(name);
      return row(key, FIXED[name]);
    });
    this.dialog.querySelector("ul").replaceChildren(...changeable, ...fixed);
    for (const box of this.dialog.querySelectorAll("[data-option]")) box.checked = this.keys.options[box.dataset.option];
    this.say(says);
  }

  say(text, isProblem = false) {
    const says = this.dialog.querySelector("[role=status]");
    says.textContent = text;
    says.classList.toggle("problem", isProblem);
  }

  listen(button) {
    this.asked?.removeAttribute("aria-pressed");
    this.asked = button;
    button?.setAttribute("aria-pressed", "true");
    if (button) this.say(`Press the key for “${ACTS[button.dataset.key].words}”, or Esc to keep it.`);
  }

  pressed(event) {
    if (!this.asked || !isPlain(event) || ["Shift", "AltGraph", "CapsLock"].includes(event.key)) return;
    event.preventDefault();
    if (event.key === "Escape") return this.listen(null), this.say("Nothing was changed.");
    const act = this.asked.dataset.key;
    const problem = this.keys.change(act, event);
    if (problem) return this.say(problem, true);
    this.listen(null);
    this.draw(`“${ACTS[act].words}” is on ${shownKey(this.keys.keyOf(act))} now.`);
    this.dialog.querySelector(`[data-key=${act}]`).focus();
  }
}
