/* Which key was pressed, on whatever layout: by the sign that it types, as it is printed on the key, and by its
 * place, for layouts that type something else there or type the sign only together with others. */
"use strict";

/** What a US keyboard types at the places of signs, alone and with Shift. */
const SIGNS = {
  Minus: "-_", Equal: "=+", BracketLeft: "[{", BracketRight: "]}", Backslash: "\\|", IntlYen: "\\|",
  Semicolon: ";:", Quote: "'\"", Backquote: "`~", Comma: ",<", Period: ".>", Slash: "/?",
};
const LETTER = /^[\p{L}\p{M}]$/u;
/** Signs that a key may go by wherever it is pressed; other scripts go by the place, which every layout has. */
const LATIN = /^[\x20-\x7e]$|^\p{Script=Latin}$/u;

/** The names of a pressed key, of which the first that means something counts. Keys without a sign have one. */
function namesOf(event) {
  const { key, code, shiftKey } = event;
  const sign = key.replace(/[\uff01-\uff5e]/, narrow).toLowerCase();
  const isSign = [...sign].length === 1;
  if (!isSign && !["Dead", "Process", "Unidentified"].includes(key)) return [shiftKey && key.startsWith("Arrow") ? `Shift+${key}` : key];
  // AltGr makes another key of it, and a digit is nothing but that digit.
  const place = event.getModifierState("AltGraph") || /^[0-9]$/.test(sign) ? "" : placeOf(code, shiftKey);
  return [...new Set([isSign ? sign : "", place].filter(Boolean))];
}

/** The sign that a Japanese keyboard types wide. */
function narrow(wide) {
  return String.fromCharCode(wide.charCodeAt(0) - 0xfee0);
}

function placeOf(code, isShifted) {
  const plain = /^(?:Key|Digit|Numpad)([A-Z0-9])$/.exec(code)?.[1].toLowerCase();
  return plain ?? SIGNS[code]?.[isShifted ? 1 : 0] ?? "";
}

/** The name under which a key is remembered. */
function nameOf(names) {
  return names.find((name) => name.length > 1 || LATIN.test(name)) ?? names[0];
}

/** Whether a press is meant for the page: no shortcut of the browser, and no part of a sign being composed. */
function isPlain(event) {
  if (!event.key || event.isComposing) return false; // Browsers that fill in a form send events without a key.
  const isAltGraph = event.getModifierState("AltGraph");
  // Windows reports AltGr as Ctrl and Alt together.
  return !event.metaKey && (isAltGraph ? event.ctrlKey === event.altKey : !event.ctrlKey && !event.altKey);
}
