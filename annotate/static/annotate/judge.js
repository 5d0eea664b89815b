/* The judging page, from pair to pair: the next one is leased and fetched while this one is judged, and an
 * answer is on its way while the next one is looked at. The form works without any of this. */
"use strict";

const page = document.querySelector("#judging").dataset;
const guardMs = Number(page.guardMs);

let view = null;
/** The next pair, ready to be shown. */
let ahead = null;
/** The pair to go back to while an earlier answer is changed. */
let shelved = null;

const desk = {
  send, undo, cancel, openGuide,
  openKeys: () => keysDialog.open((act) => view.offers(act)),
  guidelines: page.guidelines,
  guardMs,
};
const keys = new Keys(() => [view, ahead, shelved].forEach((one) => one?.label(keys)));
const keysDialog = new KeysDialog(document.querySelector("#keys"), keys);
const outbox = new Outbox(page.person, { token: tokenOf(document), guardMs, stored, refused, changed: sent });
const session = new Session(document.querySelector("#break"), {
  person: page.person,
  breakAfterMin: Number(page.breakAfterMin),
  limitMin: Number(page.limitMin),
  leaseS: Number(page.leaseS),
  renew,
});

/** The page's part of a pair (or why there is none) in what the site answered. */
function partOf(text) {
  const holder = document.createElement("template");
  holder.innerHTML = text;
  const task = document.importNode(holder.content, true).querySelector("#task");
  showTimes(task);
  return task;
}

/** A view for a part of the page; null where it holds no pair. */
function viewOf(task) {
  if (!task.matches(".judge")) return null;
  const made = new PairView(task, desk);
  made.label(keys);
  return made;
}

/** Send a request; null where the site cannot be reached. */
async function reach(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (error.name !== "TypeError") throw error;
    return null;
  }
}

/**
 * Ask the site for a part of the page; null for "nothing", undefined where it cannot be reached. Whoever is
 * signed out goes to the sign-in, and nobody is answered any more: that page has no such part.
 */
async function ask(query) {
  const response = await reach(location.pathname + query, { headers: { "HX-Request": "true" } });
  if (!response) return undefined;
  if (response.redirected) {
    location.reload();
    return new Promise(() => {});
  }
  return response.status === 200 ? partOf(await response.text()) : null;
}

/** Put a part of the page in the place of the one that is there. */
function show(task, made = viewOf(task)) {
  if (view && view !== shelved) view.destroy();
  else view?.leave();
  if (!task.isConnected) document.querySelector("#task").replaceWith(task);
  view = made;
  isWaiting = false;
  drawOutbox();
  if (!view) return;
  view.enter();
  session.rest();
  if (!view.answer.isRevision) fetchAhead(view);
}

/** Lease and fetch the next pair once this one plays. */
async function fetchAhead(current) {
  await current.playable;
  await current.fetched;
  if (ahead || current !== view || outbox.waiting.length) return;
  const task = await ask(`?ahead_of=${current.lease}`);
  if (!task || ahead || current !== view) return;
  ahead = viewOf(task);
  if (isWaiting) showAhead();
}

// -- answers ----------------------------------------------------------------------------------------

/** Whether an answer was given and nothing else can be shown before the site has answered. */
let isWaiting = false;

function send() {
  const { answer } = view;
  if (isWaiting) return;
  if (view.isTooNew) return view.tellTooNew();
  if (answer.missing) return answer.tell(answer.remedy, true);
  const packed = answer.pack(view.evidence(), answer.isRevision ? "" : ahead?.lease);
  keptInTab.remove("draft");
  if (answer.isRevision && shelved) {
    unshelve();
  } else if (ahead && !answer.isRevision) {
    showAhead();
  } else {
    isWaiting = true;
    answer.tell("Sending …");
  }
  outbox.add(packed);
}

function showAhead() {
  const next = ahead;
  ahead = null;
  next.own = Math.max(next.own, view.own + 1);
  show(next.task, next);
}

function unshelve() {
  const back = shelved;
  shelved = null;
  show(back.task, back);
}

function keyed(choice) {
  return `${shownKey(keys.keyOf(choice))} ${CHOICES[choice].hint}`;
}

/** The site has an answer, and may have sent the pair that follows. */
function stored(answer, text) {
  if (answer.url !== location.pathname) return;
  if (isWaiting && view.lease === answer.lease) {
    if (text) show(partOf(text));
    else location.assign(location.pathname);
  } else if (!ahead && text && view?.lease === answer.aheadOf) {
    ahead = viewOf(partOf(text));
    if (isWaiting) showAhead();
  } else if (!view) {
    location.reload();
  }
}

/** Why the site did not take an answer that another page had left behind. */
let refusedElsewhere = "";

/** The site did not take an answer: say why at the pair that it sent, which has the answer as far as it fits. */
function refused(answer, text) {
  const task = partOf(text);
  const form = task.querySelector("form.answer");
  const why = task.querySelector("[role=alert], .hint").textContent;
  if (answer.url !== location.pathname) {
    refusedElsewhere = `Of another page: ${why}`;
    return;
  }
  const isSame = view && form?.elements.lease.value === view.lease;
  if (isSame && view.answer.isRevision === Boolean(form.elements.revises.value)) {
    isWaiting = false;
    return view.answer.tell(why, true);
  }
  if (form?.elements.lease.value === answer.lease) keptInTab.write("draft", answer.draft);
  // What is on the screen waits while an earlier answer is decided; a pair that comes first takes its place.
  if (form?.elements.revises.value && view && !isSame && !view.answer.isRevision) {
    shelved = view;
  } else {
    ahead?.destroy();
    ahead = null;
  }
  show(task);
}

/** Whether the page says that this browser keeps nothing. */
let isStorageSaid = false;

/** The outbox has done what it could. */
function sent() {
  drawOutbox();
  if (view && !outbox.waiting.length && !view.answer.isRevision) fetchAhead(view);
}

function drawOutbox() {
  const line = document.querySelector("#task .unsent");
  if (line) line.textContent = outbox.words || refusedElsewhere;
  isStorageSaid = !kept.isWorking;
  if (isWaiting) view.answer.tell(outbox.problem ? `Your answer is kept ${outbox.isOnlyHere ? "in this page" : "here"} until it can be sent.` : "Sending …", outbox.problem !== "");
}

/** Bring back the last answer, to be changed. */
async function undo() {
  if (view.answer.isRevision) return view.answer.tell("This is your last answer: choose another one, or press Esc.", true);
  if (outbox.waiting.length) return view.answer.tell("Your last answer is still on its way; try again in a moment.", true);
  const current = view;
  const task = await ask("?undo=1");
  if (task === undefined) return view.answer.tell("The site cannot be reached; try again in a moment.", true);
  if (!task) return view.answer.tell("There is no answer of yours that can still be changed.", true);
  if (current !== view) return;
  shelved = current;
  show(task);
}

/** Leave an answer as it is; false where none is being changed. */
function cancel() {
  if (!view.answer.isRevision) return false;
  if (shelved) unshelve();
  else location.assign(location.pathname);
  return true;
}

/** Keep what somebody looks at. A pair that is lost is said at once, not after the work. */
async function renew() {
  for (const one of [view, ahead, shelved]) {
    if (!one?.task.dataset.renew || one.answer.isRevision) continue;
    const response = await reach(one.task.dataset.renew, { method: "POST", headers: { "X-CSRFToken": outbox.token } });
    if (response?.status !== 404) continue;
    if (one === ahead) ahead = null;
    else one.answer.tell("This pair was given to someone else, because it was open for too long. Reload the page for another one.", true);
  }
}

// -- keys -----------------------------------------------------------------------------------------------

/** Whether a key belongs to what has the focus: buttons and links are pressed, lists are moved through. */
function isTaken(event) {
  const focused = document.activeElement;
  const [isArrow, isSpace] = [event.key.startsWith("Arrow"), event.key === " "];
  if (focused.matches("input[type=radio]")) return isArrow || (isSpace && !focused.checked);
  if (focused.matches("input[type=checkbox]")) return isSpace;
  if (focused.matches("input[type=range]")) return isArrow;
  if (focused.matches("button, a")) return isSpace;
  return focused.matches("input, select, textarea");
}

function pressed(event) {
  if (!view || !isPlain(event) || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") return view.escape();
  if (isTaken(event)) return;
  if (event.key === "Enter") return enter(event);
  const act = keys.meaning(event);
  if (!act || !view.offers(act)) return;
  event.preventDefault();
  if (event.repeat && !ACTS[act].repeated) return;
  view.answer.input = "keys";
  if (ACTS[act].held) return view.hold(act);
  view.act(act);
  if (keys.options.atOnce && act in CHOICES && !view.answer.missing) send();
}

/** Enter sends from anywhere but a link or a button, which it presses; a key held down sends once. */
function enter(event) {
  if (document.activeElement.matches("a, button:not(.submit)")) return;
  event.preventDefault();
  if (event.repeat) return;
  view.answer.input = "keys";
  send();
}

// -- guidelines: shown before the first pair, and again when they change --------------------------------------

const guideKey = `guidelines of ${page.person}: ${location.pathname}`;

function openGuide() {
  const dialog = document.querySelector("#guidelines");
  dialog.addEventListener("close", () => kept.write(guideKey, page.guidelines), { once: true });
  dialog.showModal();
}

function count() {
  const elapsed = session.count();
  if (isStorageSaid === kept.isWorking) drawOutbox();
  if (!view) return;
  view.activeMs += elapsed;
  view.task.querySelector(".clock").textContent = session.words;
}

document.addEventListener("keydown", pressed);
document.addEventListener("keyup", () => view?.held && view.hold(""));
addEventListener("blur", () => view?.held && view.hold(""));
document.addEventListener("fullscreenchange", () => view?.draw());
setInterval(count, 250);

/** Begin with the pair that the page came with, unless its answer is already on its way. */
function begin() {
  const task = document.querySelector("#task");
  if (view || !task.offsetParent) return; // A window that is too small fetches nothing.
  show(task);
  if (view && kept.read(guideKey) !== page.guidelines && !session.dialog.open) openGuide();
  const unsent = outbox.waiting.find((answer) => answer.url === location.pathname && answer.lease === view?.lease);
  isWaiting = Boolean(unsent);
  if (outbox.waiting.length) outbox.send();
}

addEventListener("resize", begin);
begin();
