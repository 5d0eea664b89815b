/* The answer: a choice, and what may come with it. It survives a reload. */
"use strict";

/** Letters that two lines of the hint hold. */
const LONG = 72;

class Answer {
  /**
   * @param {HTMLFormElement} form
   * @param {{unwatched: () => string, changed: () => void}} options `unwatched` says what has still to be
   *     watched before an answer counts, or ""
   */
  constructor(form, { unwatched, changed }) {
    Object.assign(this, { form, unwatched, changed });
    this.hint = form.querySelector(".hint");
    this.panels = { why: form.querySelector(".why"), note: form.querySelector(".note-panel") };
    this.breaks = JSON.parse(form.dataset.breaks);
    this.input = "mouse";
    form.addEventListener("pointerdown", ({ pointerType }) => (this.input = pointerType === "touch" ? "touch" : "mouse"));
    form.addEventListener("input", () => this.update());
    this.restore();
  }

  get lease() {
    return this.form.elements.lease.value;
  }

  get isRevision() {
    return this.form.elements.revises.value !== "";
  }

  get choice() {
    return this.form.elements.choice.value;
  }

  /** Whether it says nothing of the pair, which takes a reason. */
  get abstains() {
    return Boolean(CHOICES[this.choice]?.abstains);
  }

  get strength() {
    return this.form.elements.strength.value;
  }

  /** What is missing before this can be sent, or "". */
  get missing() {
    if (!this.choice) return this.isRevision ? "Choose another answer" : "Choose an answer";
    if (!this.abstains) return this.isRevision ? "" : this.unwatched();
    return this.form.querySelector(".reasons :checked") ? "" : "Say why you cannot judge";
  }

  /** What to do first, said to somebody who sends too early. */
  get remedy() {
    return `${this.missing}${this.choice ? "." : ` first: ${Object.keys(CHOICES).map(keyed).join(", ")}.`}`;
  }

  /** Whether an act belongs to this kind of answer. */
  offers() {
    return true;
  }

  choose(value) {
    for (const radio of this.form.elements.choice) radio.checked = radio.value === value;
    this.closePanels();
    this.update();
    if (this.abstains) this.form.querySelector(".reasons input").focus();
  }

  setStrength(value) {
    if (!SIDES.includes(this.choice)) return this.tell("Choose left or right first, then how much better it is.", true);
    const wanted = this.strength === value ? "" : value;
    for (const radio of this.form.elements.strength) radio.checked = radio.value === wanted;
    this.update();
  }

  unchoose() {
    for (const box of this.form.querySelectorAll("[type=radio], [type=checkbox]")) box.checked = false;
    this.closePanels();
    this.update();
  }

  mark(side, frame) {
    const isSame = (mark) => mark.side === side && mark.frame === frame;
    this.breaks = this.breaks.some(isSame) ? this.breaks.filter((mark) => !isSame(mark)) : [...this.breaks, { side, frame }];
    this.update();
  }

  // -- what opens over the controls -----------------------------------------------------------------

  get isOpen() {
    return Object.values(this.panels).some((panel) => !panel.hidden);
  }

  togglePanel(name) {
    const isOpened = this.panels[name].hidden;
    if (name === "why" && (!this.choice || this.abstains)) return this.tell("Choose an answer first, then its reasons.", true);
    this.closePanels();
    this.panels[name].hidden = !isOpened;
    if (isOpened) this.panels[name].querySelector("input, textarea").focus();
    this.changed();
  }

  closePanels() {
    for (const panel of Object.values(this.panels)) panel.hidden = true;
    if (this.form.contains(document.activeElement)) document.activeElement.blur();
    this.changed();
  }

  // -- state --------------------------------------------------------------------------------------------

  /** Drop what does not go with the choice, say what is missing, and keep the answer for a reload. */
  update() {
    const { choice, form } = this;
    if (!SIDES.includes(choice)) for (const radio of form.elements.strength) radio.checked = false;
    for (const box of form.querySelectorAll(this.abstains ? ".why input" : ".reasons input")) box.checked = false;
    this.say();
    this.keep();
    this.changed();
  }

  get draft() {
    const { pairs, breaks, lease } = this;
    return { lease, pairs, breaks };
  }

  keep() {
    keptInTab.write("draft", this.draft);
  }

  say() {
    const { missing } = this;
    for (const radio of this.form.elements.strength) radio.disabled = !SIDES.includes(this.choice);
    this.form.querySelector(".submit").setAttribute("aria-disabled", String(missing !== ""));
    if (missing) this.tell(`${missing}.`);
    else this.tell(this.isRevision ? "Enter changes your answer, Esc keeps it." : "Enter submits, Esc takes it back.");
  }

  tell(text, isProblem = false) {
    this.hint.textContent = text;
    this.hint.classList.toggle("problem", isProblem);
    this.hint.classList.toggle("long", text.length > LONG);
  }

  restore() {
    const problem = this.hint.classList.contains("problem") ? this.hint.textContent : "";
    const draft = keptInTab.read("draft");
    if (draft?.lease === this.lease) {
      this.breaks = draft.breaks;
      const said = new Set(draft.pairs.map(([name, value]) => `${name}=${value}`));
      for (const box of this.form.querySelectorAll("[type=radio], [type=checkbox]")) box.checked = said.has(`${box.name}=${box.value}`);
      this.form.elements.note.value = draft.pairs.find(([name]) => name === "note")?.[1] ?? "";
    }
    if (problem) this.tell(problem, true);
  }

  /** Names and values, as a form sends them. */
  get pairs() {
    return [...new FormData(this.form)].filter(([name]) => !["csrfmiddlewaretoken", "evidence", "breaks"].includes(name));
  }

  /** All of it, ready to be sent. */
  pack(evidence, aheadOf) {
    const more = { evidence: JSON.stringify({ ...evidence, input: this.input }), breaks: JSON.stringify(this.breaks) };
    const { draft, pairs } = this;
    if (aheadOf) pairs.push(["ahead_of", aheadOf]);
    pairs.push(...Object.entries(more));
    const key = this.form.elements.idempotency_key.value;
    return { url: this.form.getAttribute("action"), lease: this.lease, key, aheadOf, draft, pairs };
  }
}
