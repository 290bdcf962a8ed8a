// What some fields are better with: every one of them works without this file.
"use strict";

const once = new WeakSet();

function each(selector, enhance) {
  for (const element of document.querySelectorAll(selector)) {
    if (once.has(element)) continue;
    once.add(element);
    enhance(element);
  }
}

// ── Sliders: the line keeps the exact number ──────────────────────────────────

function slide(range) {
  const line = document.getElementById(range.dataset.slides);
  const follow = () => {
    const given = line.value.trim() !== "" && Number.isFinite(Number(line.value));
    range.toggleAttribute("data-untouched", !given);
    if (given) range.value = line.value;
  };
  range.hidden = false;
  follow();
  line.addEventListener("input", follow);
  for (const kind of ["input", "click"]) range.addEventListener(kind, () => { line.value = range.value; follow(); });
}

// ── Rankings ──────────────────────────────────────────────────────────────────

function places(list) {
  const items = [...list.children];
  items.forEach((item, at) => {
    const [up, down] = item.querySelectorAll("[data-move]");
    up.toggleAttribute("aria-disabled", at === 0);
    down.toggleAttribute("aria-disabled", at === items.length - 1);
    for (const button of [up, down]) {
      if (button.hasAttribute("aria-disabled")) button.setAttribute("aria-disabled", "true");
      button.value = button.value.replace(/\d+$/, String(at));
    }
  });
}

function settle(field, item) {
  const list = item.parentElement;
  places(list);
  const left = field.querySelector("input[type=checkbox]");
  if (left) left.checked = false;
  const status = field.querySelector("[role=status]");
  const words = { option: item.dataset.label, place: [...list.children].indexOf(item) + 1, count: list.children.length };
  status.textContent = status.dataset.words.replace(/\{(\w+)\}/g, (_, key) => words[key]);
}

function rank(field) {
  field.classList.add("draggable");
  field.addEventListener("click", (event) => {
    const button = event.target.closest("[data-move]");
    if (!button) return;
    event.preventDefault();
    const item = button.closest("li");
    const other = button.dataset.move === "1" ? item.nextElementSibling : item.previousElementSibling;
    if (!other) return;
    if (button.dataset.move === "1") other.after(item);
    else other.before(item);
    settle(field, item);
    button.focus();
  });
  for (const item of field.querySelectorAll("li")) drag(field, item);
}

function drag(field, item) {
  const list = item.parentElement;
  const grip = item.querySelector(".grip");
  const over = (event) => [...list.children].find((one) => {
    const box = one.getBoundingClientRect();
    return one !== item && event.clientY > box.top && event.clientY < box.bottom;
  });
  grip.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    grip.setPointerCapture(event.pointerId);
    item.classList.add("dragged");
  });
  grip.addEventListener("pointermove", (event) => {
    if (!grip.hasPointerCapture(event.pointerId)) return;
    const other = over(event);
    if (!other) return;
    const box = other.getBoundingClientRect();
    const below = event.clientY > box.top + box.height / 2;
    const follows = Boolean(item.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING);
    if (below !== follows) return;
    // Moving the grip in the page lets go of the pointer, so the others move around it.
    if (follows) while (item.nextElementSibling && item.previousElementSibling !== other) item.before(item.nextElementSibling);
    else while (item.previousElementSibling && item.nextElementSibling !== other) item.after(item.previousElementSibling);
    settle(field, item);
  });
  for (const end of ["pointerup", "pointercancel"]) grip.addEventListener(end, () => item.classList.remove("dragged"));
}

// ── Markdown ──────────────────────────────────────────────────────────────────

function format(tools) {
  const area = tools.parentElement.querySelector("textarea");
  tools.hidden = false;
  tools.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { selectionStart: start, selectionEnd: end } = area;
    const chosen = area.value.slice(start, end);
    const { around, before, link } = button.dataset;
    const made = around ? around + chosen + around
      : before ? chosen.split("\n").map((line) => before + line).join("\n")
      : `[${chosen}](${link})`;
    area.setRangeText(made, start, end, "end");
    if (around && !chosen) area.setSelectionRange(start + around.length, start + around.length);
    area.focus();
    area.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

// ── Files: what is too large is said before it is sent ────────────────────────

const ENCODED = 4 / 3; // files that come back to the page are written as text
const ROOM = 0.95;

function total(form) {
  const chosen = [...form.querySelectorAll("input[type=file]")].flatMap((input) => [...input.files]);
  const kept = [...form.querySelectorAll(".kept input:checked")].reduce((sum, one) => sum + one.value.length, 0);
  return kept + chosen.reduce((sum, file) => sum + file.size * ENCODED, 0);
}

function complaint(input) {
  const { mostBytes, most, tooLarge, tooMany } = input.dataset;
  const files = [...input.files];
  const large = files.find((file) => mostBytes && file.size > Number(mostBytes));
  const form = input.closest("form");
  const over = files.length && total(form) > ROOM * Number(form.getAttribute("data-most-bytes") || Infinity);
  if (large || over) return tooLarge.replace("{name}", (large || files.at(-1)).name);
  const kept = input.closest("[data-files]").querySelectorAll(".kept input:checked").length;
  return most && files.length + kept > Number(most) ? tooMany : "";
}

function check(input) {
  const fault = input.closest("[data-files]").querySelector("[data-fault]");
  fault.textContent = complaint(input);
  fault.hidden = !fault.textContent;
  return !fault.hidden;
}

function choose(field) {
  field.addEventListener("change", () => check(field.querySelector("input[type=file]")));
}

document.addEventListener("submit", (event) => {
  const inputs = [...event.target.querySelectorAll("[data-files] input[type=file]")];
  const wrong = inputs.find(check);
  if (!wrong) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  wrong.focus();
}, true);

function enhance() {
  each("[data-slides]", slide);
  each("[data-ranking]", rank);
  each(".tools", format);
  each("[data-files]", choose);
}

enhance();
document.addEventListener("redrawn", enhance);
