/* What this browser keeps for the site. Its storage may be full or blocked: what cannot be kept there is kept in
 * memory, for as long as the page is open. */
"use strict";

class Kept {
  /** @param {() => ?Storage} open where a browser has blocked its storage, opening it already throws */
  constructor(open) {
    Object.assign(this, { open, memory: new Map(), isWorking: true });
    if (this.write("can keep", true)) this.remove("can keep");
  }

  /** What was kept under a name; undefined where there is nothing, or nothing of ours. */
  read(name) {
    if (this.memory.has(name)) return this.memory.get(name);
    return parsed(this.reach((storage) => storage.getItem(name)));
  }

  /** Keep a value of JSON; false where it will not outlive the page. */
  write(name, value) {
    this.isWorking = this.reach((storage) => (storage.setItem(name, JSON.stringify(value)), true)) === true;
    if (this.isWorking) this.memory.delete(name);
    else this.memory.set(name, value);
    return this.isWorking;
  }

  remove(name) {
    this.memory.delete(name);
    this.reach((storage) => storage.removeItem(name));
  }

  /** All values whose names begin so. */
  allOf(prefix) {
    const stored = this.reach((storage) => Object.keys(storage)) ?? [];
    const names = new Set([...stored, ...this.memory.keys()].filter((name) => name.startsWith(prefix)));
    return [...names].map((name) => this.read(name)).filter((value) => value !== undefined);
  }

  /** What `use` returns; undefined where the storage is full, blocked or missing. */
  reach(use) {
    try {
      const storage = this.open();
      return storage ? use(storage) : undefined;
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      return undefined;
    }
  }
}

function parsed(text) {
  try {
    return JSON.parse(text ?? "null") ?? undefined;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined; // Written by somebody else, or cut short by a crash.
  }
}

/** Shared by the tabs of a browser, and for this tab alone. */
const kept = new Kept(() => localStorage);
const keptInTab = new Kept(() => sessionStorage);
