// Says what is new in the queue, and changes nothing under the reader's hands: that takes a click.
"use strict";

const SETTLED_MS = 400;
const BREAK_MS = 3000;
const news = document.querySelector("[data-live]");
const link = news.querySelector("a");
const rows = [...document.querySelectorAll(".queue [data-task]")];
const known = new Set(rows.map((row) => row.dataset.task));
let waiting = null;
let looked = -BREAK_MS;

async function look() {
  looked = performance.now();
  const reply = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!reply.ok) return;
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  if (!page.querySelector("[data-live]")) return; // the log-in ended, and this is another page
  const now = new Set([...page.querySelectorAll(".queue [data-task]")].map((row) => row.dataset.task));
  const fresh = [...now].filter((id) => !known.has(id)).length;
  link.textContent = news.dataset.new.replace("{n}", fresh);
  link.hidden = fresh === 0;
  // A row that newer ones pushed off the page is still waiting: only without them is it gone.
  if (fresh === 0) for (const row of rows) mark(row, !now.has(row.dataset.task));
}

function mark(row, gone) {
  row.classList.toggle("gone", gone);
  const said = row.querySelector(".said");
  if (gone && !said) {
    const note = document.createElement("span");
    note.className = "said";
    note.textContent = news.dataset.gone;
    row.querySelector(".meta").append(note);
  } else if (!gone) said?.remove();
}

function changed() {
  const delay = Math.max(SETTLED_MS, looked + BREAK_MS - performance.now());
  waiting ??= setTimeout(() => { waiting = null; look().catch(() => {}); }, delay);
}

let source = null;
let address = news.dataset.live;

function follow() {
  if (document.hidden || source) return;
  source = new EventSource(address);
  address = address.split("?")[0]; // it names when this page was made: who comes back looks anew instead
  source.addEventListener("task", changed);
}

function rest() {
  source?.close();
  source = null;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) rest();
  else { follow(); changed(); }
});
addEventListener("pagehide", rest);
addEventListener("pageshow", (event) => { if (event.persisted) { follow(); changed(); } });
follow();
