/* Answers on their way to the site. Each stays in this browser until the site has said what became of it, and
 * carries a key of its own, so that sending it again never stores it twice. */
"use strict";

const SEND_TIMEOUT_MS = 30_000;
const RETRY_MS = 2_000;
const RETRY_AT_MOST_MS = 30_000;

class Outbox {
  /**
   * @param {string} person whose answers these are; nobody else's are sent
   * @param {{token: string, stored: Function, refused: Function, changed: Function}} options `stored` and
   *     `refused` get the answer and the page's part that the site sent back, or "".
   */
  constructor(person, { token, stored, refused, changed }) {
    Object.assign(this, { token, stored, refused, changed });
    this.prefix = `answer of ${person}: `;
    this.problem = "";
    this.wait = RETRY_MS;
    addEventListener("online", () => this.send());
  }

  /** Oldest first. */
  get waiting() {
    return Object.keys(localStorage)
      .filter((key) => key.startsWith(this.prefix))
      .map((key) => JSON.parse(localStorage.getItem(key)))
      .sort((one, other) => one.at - other.at);
  }

  get words() {
    const count = this.waiting.length;
    if (!count || !this.problem) return "";
    const answers = count === 1 ? "1 answer is" : `${count} answers are`;
    return `${this.problem} ${answers} kept here and sent again.`;
  }

  add(answer) {
    localStorage.setItem(this.prefix + answer.key, JSON.stringify({ ...answer, at: Date.now() }));
    return this.send();
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
      this.retry = setTimeout(() => this.send(), this.wait);
      this.wait = Math.min(RETRY_AT_MOST_MS, 2 * this.wait);
    }
    this.changed();
  }

  /** Send one answer; why the site has not said what became of it, or "". */
  async post(answer) {
    let response, text;
    try {
      response = await fetch(answer.url, {
        method: "POST",
        headers: { "HX-Request": "true", "X-CSRFToken": this.token },
        body: new URLSearchParams(answer.pairs),
        signal: AbortSignal.timeout(SEND_TIMEOUT_MS),
      });
      text = await response.text();
    } catch (error) {
      return error.name === "TimeoutError" ? "The site does not answer." : "The site cannot be reached.";
    }
    if (response.redirected) {
      location.reload(); // Signed out meanwhile: after signing in, this page sends what waits.
      return "You are signed out.";
    }
    // 403: somebody signed in or out in another tab, so this page's token is no longer valid.
    if (response.status === 403) return "This page is too old: reload it.";
    const isRefused = [409, 422].includes(response.status);
    if (!response.ok && !isRefused) return `Not stored (status ${response.status}).`;
    localStorage.removeItem(this.prefix + answer.key);
    if (isRefused) this.refused(answer, text);
    else this.stored(answer, text);
    return "";
  }
}
