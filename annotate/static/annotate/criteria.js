/* The answer of a study: left, right or the same, by each of several criteria, which the keys go through. */
"use strict";

/** Acts of the tracks' answers that this one has no place for. */
const NOT_BY_CRITERIA = ["slightly", "clearly", "why", "break", "undo"];

class CriteriaAnswer extends Answer {
  constructor(form, options) {
    super(form, options);
    this.panels = { note: this.panels.note };
    this.criteria = [...form.querySelectorAll(".criterion")];
    this.criteria.forEach((criterion) => criterion.addEventListener("focusin", () => this.turnTo(criterion)));
    this.turnTo(this.unanswered[0] ?? this.criteria.at(-1));
  }

  get unanswered() {
    return this.criteria.filter((criterion) => !criterion.querySelector(":checked"));
  }

  get choice() {
    return this.current.querySelector(":checked")?.value ?? "";
  }

  get missing() {
    const names = this.unanswered.map((criterion) => criterion.querySelector("legend b").textContent.toLowerCase());
    if (!names.length) return this.unwatched();
    return names.length === this.criteria.length ? "Answer by each criterion" : `Still open: ${names.join(", ")}`;
  }

  get remedy() {
    return `${this.missing}.`;
  }

  offers(act) {
    return CHOICES[act]?.is_offered ?? !NOT_BY_CRITERIA.includes(act);
  }

  /** The criterion that the keys answer. */
  turnTo(criterion) {
    this.current = criterion;
    for (const one of this.criteria) one.toggleAttribute("data-current", one === criterion);
  }

  /** Answer by the criterion that is open, and go on to the next one that is. */
  choose(value) {
    for (const radio of this.current.querySelectorAll("input")) radio.checked = radio.value === value;
    this.closePanels();
    this.update();
  }

  unchoose() {
    for (const radio of this.form.querySelectorAll("[type=radio]")) radio.checked = false;
    this.turnTo(this.criteria[0]);
    this.closePanels();
    this.update();
  }

  update() {
    const later = this.criteria.slice(this.criteria.indexOf(this.current));
    const isOpen = (criterion) => this.unanswered.includes(criterion);
    this.turnTo(later.find(isOpen) ?? this.criteria.find(isOpen) ?? this.current);
    this.say();
    this.keep();
    this.changed();
  }

  say() {
    const { missing } = this;
    this.form.querySelector(".submit").setAttribute("aria-disabled", String(missing !== ""));
    this.tell(missing ? `${missing}.` : "Enter submits, Esc takes it back.");
  }
}
