// Everything works without this file; it only spares looking at a clock, and loading pages.
"use strict";

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const WARNINGS = [10 * MINUTE, 5 * MINUTE, MINUTE, 0];
const RELOAD_AFTER_MS = 3000;

const { leftText, overText } = document.body.dataset;

function span(count, unit) {
  const words = new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit, unitDisplay: "long" });
  return leftText.replace("{span}", words.format(count));
}

function left(seconds) {
  if (seconds <= 0) return overText;
  if (seconds >= DAY) return span(Math.floor(seconds / DAY), "day");
  if (seconds >= HOUR) return span(Math.floor(seconds / HOUR), "hour");
  if (seconds >= MINUTE) return span(Math.floor(seconds / MINUTE), "minute");
  return span(seconds, "second");
}

function announcer() {
  const place = document.createElement("p");
  place.className = "visually-hidden";
  place.setAttribute("role", "status");
  document.getElementById("main").append(place);
  return place;
}

// What is left is counted from when the page came: the visitor's own clock may be wrong.
for (const element of document.querySelectorAll("[data-left]")) {
  const ends = performance.now() + 1000 * Number(element.dataset.left);
  const said = element.hasAttribute("data-announced") ? announcer() : null;
  let before = Number(element.dataset.left);
  const tick = () => {
    const seconds = Math.ceil((ends - performance.now()) / 1000);
    element.textContent = left(seconds);
    element.classList.toggle("urgent", seconds < Number(element.dataset.urgent));
    if (said && WARNINGS.some((one) => seconds <= one && one < before)) said.textContent = element.textContent;
    before = seconds;
  };
  tick();
  setInterval(tick, 1000);
}

// Moments are in the reader's zone, in the language of the page and the way their country writes it.
const written = document.documentElement.lang;
const locale = navigator.languages.find((one) => one.split("-")[0] === written.split("-")[0]) ?? written;
const asMoment = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
const asWritten = new Intl.DateTimeFormat(locale, {
  day: "numeric", month: "short", year: "numeric", hour: "numeric", minute: "2-digit", timeZoneName: "short",
});
const asDay = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeZone: "UTC" });

for (const element of document.querySelectorAll("time[data-moment], time[data-day]")) {
  const at = new Date(element.dateTime);
  if (isNaN(at)) continue;
  if (element.hasAttribute("data-day")) element.textContent = asDay.format(at);
  else if (element.title) element.textContent = asWritten.format(at); // of the payload: what it says is kept beside it
  else {
    element.title = element.textContent;
    element.textContent = asMoment.format(at);
  }
}

if (document.querySelector("[data-reload]")) setTimeout(() => location.reload(), RELOAD_AFTER_MS);

// A row more or less: the server draws the form anew, and only the form is exchanged.
// Until then it takes neither typing nor clicks, since the exchange would lose them.
// A field may be called "action" or "dataset" and hide the form's own, so attributes are asked for by name.
async function redraw(form, button) {
  const filled = new FormData(form, button);
  const body = form.hasAttribute("enctype") ? filled : new URLSearchParams(filled);
  const answer = await fetch(form.getAttribute("action"), { method: "POST", body });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("form.answer");
  if (!answer.ok || !fresh) throw new Error("there is no form to go on with");
  form.replaceWith(document.adoptNode(fresh));
  document.dispatchEvent(new Event("redrawn"));
  fresh.querySelector("[autofocus]")?.focus();
}

document.addEventListener("submit", (event) => {
  const { target: form, submitter: button } = event;
  if (!button?.hasAttribute("data-redraw") || form.hasAttribute("data-plain")) return;
  event.preventDefault();
  if (form.hasAttribute("aria-busy")) return;
  form.setAttribute("aria-busy", "true");
  const redrawn = redraw(form, button);
  form.setAttribute("inert", "");
  redrawn.catch(() => {
    form.setAttribute("data-plain", "");
    form.removeAttribute("inert");
    setTimeout(() => button.click()); // a form that is just being sent ignores it
  });
});
