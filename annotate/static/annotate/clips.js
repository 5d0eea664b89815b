/* Clips are fetched whole and played from memory; how much of each was on the screen is kept. */
"use strict";

/** Fetch a clip or a photo whole. The caller revokes the address. */
async function fetchWhole(url, signal) {
  const response = await fetch(url, { credentials: "same-origin", signal });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return URL.createObjectURL(await response.blob());
}

/** The next event of one of these names. */
function whenever(target, ...names) {
  return new Promise((resolve) => {
    const done = (event) => {
      names.forEach((name) => target.removeEventListener(name, done));
      resolve(event);
    };
    names.forEach((name) => target.addEventListener(name, done));
  });
}

/** Play a clip that may be removed or paused meanwhile: a play that is cut short is no fault. */
async function playQuietly(video) {
  try {
    await video.play();
  } catch (error) {
    if (!["AbortError", "NotAllowedError"].includes(error.name)) throw error;
  }
}

/** Load a clip into an element, ready to be decoded. */
async function loadInto(video, address) {
  video.removeAttribute("controls");
  video.loop = false;
  video.muted = true;
  video.preload = "auto";
  const decided = whenever(video, "canplaythrough", "error");
  video.src = address;
  video.load();
  if ((await decided).type === "error") throw new Error("not decodable");
}

/** Which parts of a clip were on screen at least once, in `count` equal parts. */
class Coverage {
  constructor(count) {
    this.seen = new Array(Math.max(1, count)).fill(false);
  }

  mark(part) {
    this.seen[Math.min(this.seen.length - 1, Math.max(0, part))] = true;
  }

  get share() {
    return this.seen.filter(Boolean).length / this.seen.length;
  }

  /** The parts that were seen as [first, last], in order. */
  get intervals() {
    const found = [];
    this.seen.forEach((isSeen, part) => {
      if (!isSeen) return;
      if (found.at(-1)?.[1] === part - 1) found.at(-1)[1] = part;
      else found.push([part, part]);
    });
    return found;
  }
}
