/* Times in the reader's own zone, with its name. Without this script the site's zone stands beside each of them. */
"use strict";

const IN_ENGLISH = [...navigator.languages.filter((language) => language.startsWith("en")), "en"];

function ownTime(moment, hasSeconds) {
  const parts = new Intl.DateTimeFormat(IN_ENGLISH, {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
    hourCycle: "h23", numberingSystem: "latn", calendar: "gregory", timeZoneName: "short",
  }).formatToParts(moment);
  const { year, month, day, hour, minute, second, timeZoneName } = Object.fromEntries(parts.map(({ type, value }) => [type, value]));
  return `${year}-${month}-${day} ${hour}:${minute}${hasSeconds ? `:${second}` : ""} ${timeZoneName}`;
}

/** Rewrite the times of a part of the page; the site's own words stay as a title. */
function showTimes(part) {
  for (const time of part.querySelectorAll("time[datetime]:not([title])")) {
    time.title = time.textContent;
    time.textContent = ownTime(new Date(time.dateTime), time.hasAttribute("data-seconds"));
  }
}

showTimes(document);
document.addEventListener("htmx:load", ({ detail }) => showTimes(detail.elt));
