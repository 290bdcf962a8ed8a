// A pad to sign on; without this file a picture is uploaded, or the name typed.
"use strict";

const INK = "#111";
const WIDTH = 3;
const HAND = 56;
const signed = new WeakSet();

function pad(field) {
  const box = field.querySelector(".pad");
  const canvas = field.querySelector("canvas");
  const drawn = field.querySelector("[data-drawn]");
  const kept = field.querySelector("[data-kept]");
  const typing = field.querySelector("[data-typing] input");
  const upload = field.querySelector("input[type=file]");
  const pen = canvas.getContext("2d");
  const svg = field.dataset.signature === "svg";
  let strokes = [];

  function blank() {
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    Object.assign(pen, { strokeStyle: INK, fillStyle: INK, lineWidth: WIDTH, lineCap: "round", lineJoin: "round" });
  }

  function clear() {
    strokes = [];
    drawn.value = "";
    blank();
  }

  function path() {
    return strokes.map((stroke) => stroke.map(([x, y], at) => `${at ? "L" : "M"}${x} ${y}`).join("")).join("");
  }

  function keep() {
    drawn.value = svg
      ? `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${canvas.width} ${canvas.height}"><path d="${path()}" fill="none" stroke="${INK}" stroke-width="${WIDTH}" stroke-linecap="round" stroke-linejoin="round"/></svg>`
      : canvas.toDataURL("image/png");
  }

  function point(event) {
    const place = canvas.getBoundingClientRect();
    const across = ((event.clientX - place.left) / place.width) * canvas.width;
    const down = ((event.clientY - place.top) / place.height) * canvas.height;
    return [across, down].map((length) => Math.round(length * 10) / 10);
  }

  function line(stroke) {
    const [from, to] = stroke.length > 1 ? stroke.slice(-2) : [stroke[0], stroke[0]];
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
  }

  function others() {
    if (kept) kept.checked = false;
    typing.value = "";
    upload.value = "";
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    if (typing.value) clear();
    others();
    const first = point(event);
    strokes.push([first, first]);
    line(strokes.at(-1));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) {
      strokes.at(-1).push(point(each));
      line(strokes.at(-1));
    }
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { if (strokes.length) keep(); });

  typing.addEventListener("input", () => {
    const name = typing.value.trim();
    clear();
    if (!name) return;
    if (kept) kept.checked = false;
    upload.value = "";
    pen.font = `${HAND}px cursive`;
    pen.fillText(name, 24, 124, canvas.width - 48);
    if (!svg) drawn.value = canvas.toDataURL("image/png"); // as SVG, the server writes the name
  });
  upload.addEventListener("change", () => { clear(); typing.value = ""; if (kept) kept.checked = false; });
  field.querySelector("[data-clear]").addEventListener("click", () => { clear(); others(); });

  blank();
  box.hidden = false;
  field.querySelector("[data-typing]").hidden = false;
}

function sign() {
  for (const field of document.querySelectorAll("[data-signature]")) {
    if (!signed.has(field)) pad(field);
    signed.add(field);
  }
}

sign();
document.addEventListener("redrawn", sign);
