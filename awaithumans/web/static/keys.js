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
  return target.closest("input:not([type=radio]), select, textarea, dialog, [contenteditable]");
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

// The choice between yes and no, where the page asks for one alone, be it with a note.
function yesOrNo(answer) {
  const choices = [...document.querySelectorAll("form.answer input[type=radio]")];
  const values = choices.map((choice) => choice.value).sort().join();
  return values === "false,true" ? choices.find((choice) => choice.value === answer) : null;
}

function choose(answer) {
  const row = questions().find((link) => link === document.activeElement);
  if (row) return location.assign(`${row.href}?answer=${answer}`);
  const choice = yesOrNo(answer);
  if (!choice) return;
  const others = choice.form.querySelectorAll("input:not([type=hidden], [type=radio]), select, textarea");
  if (!others.length) return location.assign(`${choice.form.getAttribute("action")}?answer=${answer}`);
  choice.click();
  choice.focus();
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
