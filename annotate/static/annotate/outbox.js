/* Answers on their way to the site. Each is sent from memory, and stays in memory and in this browser's storage
 * until the site has said what became of it. It carries a key of its own, so that sending it again never stores
 * it twice. */
"use strict";

const SEND_TIMEOUT_MS = 30_000;
const RETRY_MS = 2_000;
const RETRY_AT_MOST_MS = 30_000;

class Outbox {
  /**
   * @param {string} person whose answers these are; nobody else's are sent
   * @param {{token: string, guardMs: number, stored: Function, refused: Function, changed: Function}} options
   *     `stored` and `refused` get the answer and the page's part that the site sent back, or ""; the site takes
   *     no answer sooner than `guardMs` after the last one
   */
  constructor(person, { token, guardMs, stored, refused, changed }) {
    Object.assign(this, { person, token, guardMs, stored, refused, changed });
    this.prefix = `answer of ${person}: `;
    /** This page's own answers, by key. */
    this.inHand = new Map();
    this.problem = "";
    this.wait = RETRY_MS;
    this.storedAt = -Infinity;
    addEventListener("online", () => this.send());
    addEventListener("beforeunload", (event) => this.isOnlyHere && event.preventDefault());
  }

  /** Oldest first: those of this page, and what other pages and earlier visits left behind. */
  get waiting() {
    const all = new Map(kept.allOf(this.prefix).map((answer) => [answer.key, answer]));
    for (const [key, answer] of this.inHand) all.set(key, answer);
    return [...all.values()].sort((one, other) => one.at - other.at);
  }

  /** Whether an answer is lost if this page is closed. */
  get isOnlyHere() {
    return [...this.inHand.values()].some((answer) => !answer.isKept);
  }

  get words() {
    const count = this.waiting.length;
    const answers = count === 1 ? "1 answer is" : `${count} answers are`;
    const again = this.isOnlyHere ? "in this page only and sent again: do not close it." : "kept here and sent again.";
    if (count && this.problem) return `${this.problem} ${answers} ${again}`;
    if (!kept.isWorking) return "This browser’s storage is full or blocked: leave only when all is sent.";
    return "";
  }

  add(answer) {
    const added = { ...answer, at: Date.now() };
    this.inHand.set(added.key, added);
    const sent = this.send();
    this.keep(added);
    return sent;
  }

  /** The stored copy is a second chance, for a page that is closed or crashes. */
  keep(answer) {
    answer.isKept = kept.write(this.prefix + answer.key, answer);
  }

  /** Send what waits, in order, until one cannot be sent. */
  async send() {
    if (this.isSending) return;
    this.isSending = true;
    clearTimeout(this.retry);
    try {
      for (let [answer] = this.waiting; answer; [answer] = this.waiting) {
        this.problem = await this.post(answer);
        if (this.problem) break;
        this.wait = RETRY_MS;
      }
    } finally {
      this.isSending = false;
    }
    if (this.problem) {
      for (const answer of this.inHand.values()) this.keep(answer); // There may be room by now.
      this.retry = setTimeout(() => this.send(), this.wait);
      this.wait = Math.min(RETRY_AT_MOST_MS, 2 * this.wait);
    }
    this.changed();
  }

  /** Send one answer; why the site has not said what became of it, or "". */
  async post(answer) {
    // However slow the last one was on its way, this one must not look as if it had followed at once.
    const early = this.storedAt + this.guardMs - performance.now();
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    const reply = await this.reach(answer.url, {
      method: "POST",
      headers: { "HX-Request": "true", "X-CSRFToken": this.token },
      body: new URLSearchParams(answer.pairs),
    });
    if (reply.problem) return reply.problem;
    // 403: somebody signed in or out in another tab, so this page's token is no longer valid.
    if (reply.isElsewhere || reply.status === 403) return this.renewToken();
    const isRefused = [409, 422].includes(reply.status);
    if (!reply.ok && !isRefused) return `Not stored (status ${reply.status}).`;
    this.storedAt = performance.now();
    this.inHand.delete(answer.key);
    kept.remove(this.prefix + answer.key);
    if (isRefused) this.refused(answer, reply.text);
    else this.stored(answer, reply.text);
    return "";
  }

  /** Ask for the page again, for the token of whoever is signed in now; why nothing can be sent yet. */
  async renewToken() {
    const reply = await this.reach(location.pathname, {});
    if (reply.problem) return reply.problem;
    if (!reply.ok) return `Not stored (status ${reply.status}).`;
    if (reply.isElsewhere) {
      if (!this.isOnlyHere) location.reload(); // After signing in, this page sends what waits.
      return "You are signed out: sign in again in another tab.";
    }
    const fresh = new DOMParser().parseFromString(reply.text, "text/html");
    if (fresh.querySelector("#judging")?.dataset.person !== this.person) return "Somebody else is signed in now.";
    this.token = tokenOf(fresh);
    return "You were signed out for a moment.";
  }

  async reach(url, options) {
    try {
      const response = await fetch(url, { ...options, signal: AbortSignal.timeout(SEND_TIMEOUT_MS) });
      const { ok, status, redirected: isElsewhere } = response;
      return { ok, status, isElsewhere, text: await response.text() };
    } catch (error) {
      return { problem: error.name === "TimeoutError" ? "The site does not answer." : "The site cannot be reached." };
    }
  }
}

/** What the site asks for with everything that changes something. */
function tokenOf(page) {
  return JSON.parse(page.body.getAttribute("hx-headers"))["x-csrftoken"];
}
