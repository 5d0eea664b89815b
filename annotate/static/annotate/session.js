/* The session: time that somebody really looked, when a break is due, and leases kept meanwhile. */
"use strict";

/** Without a key or a movement for this long, nobody is looking. */
const IDLE_MS = 60_000;
/** A pause of this length ends a session. */
const BREAK_MS = 5 * 60_000;
const MINUTE_MS = 60_000;

class Session {
  /**
   * @param {HTMLDialogElement} dialog shown when the limit is reached
   * @param {{person: string, breakAfterMin: number, limitMin: number, leaseS: number, renew: () => void}} options
   *     a limit of 0 minutes is none; `renew` is called three times a lease while somebody looks
   */
  constructor(dialog, { person, breakAfterMin, limitMin, leaseS, renew }) {
    Object.assign(this, { dialog, breakAfterMin, limitMin, renew });
    this.key = `session of ${person}`;
    this.renewMs = (1000 * leaseS) / 3;
    this.movedAt = this.countedAt = Date.now();
    this.renewedAt = Date.now();
    for (const name of ["keydown", "pointermove", "pointerdown"]) {
      document.addEventListener(name, () => (this.movedAt = Date.now()), { passive: true });
    }
    dialog.addEventListener("cancel", (event) => this.isOver && event.preventDefault());
  }

  /** {activeMs, at}: shared by the tabs of one browser; a long pause begins a new one. */
  get state() {
    const state = kept.read(this.key);
    return state && Date.now() - state.at < BREAK_MS ? state : { activeMs: 0, at: Date.now() };
  }

  /** Milliseconds since the last count in which somebody looked. */
  count() {
    const now = Date.now();
    const elapsed = now - this.countedAt;
    this.countedAt = now;
    if (this.dialog.open) return this.countBreak();
    if (document.visibilityState !== "visible" || now - this.movedAt > IDLE_MS) return 0;
    kept.write(this.key, { activeMs: this.state.activeMs + elapsed, at: now });
    if (now - this.renewedAt > this.renewMs) {
      this.renewedAt = now;
      this.renew();
    }
    return elapsed;
  }

  get minutes() {
    return this.state.activeMs / MINUTE_MS;
  }

  get words() {
    const minutes = `${Math.floor(this.minutes)} min`;
    return this.minutes >= this.breakAfterMin ? `${minutes}: time for a break` : minutes;
  }

  get isOver() {
    return this.limitMin > 0 && this.minutes >= this.limitMin;
  }

  /** Between two pairs: past the limit, nothing goes on before a break. */
  rest() {
    if (!this.isOver || this.dialog.open) return;
    this.dialog.showModal();
    this.countBreak();
  }

  countBreak() {
    const left = Math.max(0, BREAK_MS - (Date.now() - (kept.read(this.key)?.at ?? 0)));
    const button = this.dialog.querySelector("button");
    button.disabled = left > 0;
    this.dialog.querySelector("output").textContent = left ? `You can go on in ${Math.ceil(left / MINUTE_MS)} min.` : "You can go on.";
    return 0;
  }
}
