// Shortcuts for those who like them; everything here can be done with the mouse, too, and nothing is sent by a key alone.
"use strict";

const STORED = "awaithumans.keys";
const foot = document.querySelector("[data-keys]");
const help = foot.querySelector("dialog");
const wanted = foot.querySelector("[data-keys-on]");
const home = document.querySelector("a.brand");

let touched = false; // a form that was begun is not left by a key

function stored() {
  try { return localStorage.getItem(STORED); } catch { return null; }
}

function store(value) {
  try { localStorage.setItem(STORED, value); } catch { /* then it is for this page alone */ }
}

function typing(target) {
  return target.closest("input, select, textarea, dialog, [contenteditable]");
}

function questions() {
  return [...document.querySelectorAll(".queue h2 a")];
}

function move(step) {
  const all = questions();
  const place = all.indexOf(document.activeElement);
  const next = place < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(place + step, 0), all.length - 1);
  all[next]?.focus();
}

// The lone choice between yes and no that the page asks for, if it is that.
function asksYesOrNo() {
  const controls = document.querySelectorAll("form.answer :is(input:not([type=hidden]), select, textarea)");
  const values = [...controls].map((control) => control.type === "radio" && control.value);
  return values.length === 2 && values.includes("true") && values.includes("false");
}

function choose(answer) {
  const row = questions().find((link) => link === document.activeElement);
  const confirmation = row?.href ?? (asksYesOrNo() ? document.querySelector("form.answer").getAttribute("action") : null);
  if (confirmation) location.assign(`${confirmation}?answer=${answer}`);
}

const deeds = {
  j: () => move(1),
  k: () => move(-1),
  a: () => choose("true"),
  r: () => choose("false"),
  q: () => touched || home?.click(),
  "/": () => document.getElementById("q")?.focus(),
  "?": () => help.showModal(),
};

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat && !"jk".includes(event.key)) return;
  if (typing(event.target) || !(wanted.checked || event.key === "?") || !Object.hasOwn(deeds, event.key)) return;
  event.preventDefault();
  deeds[event.key]();
}

foot.hidden = false;
wanted.checked = stored() !== "off";
wanted.addEventListener("change", () => store(wanted.checked ? "on" : "off"));
foot.querySelector("[data-keys-open]").addEventListener("click", () => help.showModal());
document.addEventListener("keydown", pressed);
document.addEventListener("input", (event) => { touched ||= event.target.closest("form.answer") !== null; });
