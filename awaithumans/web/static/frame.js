// Tells the page around this one what happens here; only the origin that the address was made for hears it.
"use strict";

const { parent: origin, task } = document.body.dataset;

function tell(type, payload) {
  if (window.parent !== window) window.parent.postMessage({ source: "awaithumans", type, payload }, origin);
}

tell("loaded", { taskId: task });
new ResizeObserver(() => tell("resize", { height: document.documentElement.offsetHeight })).observe(document.body);

for (const element of document.querySelectorAll("[data-completed]")) {
  tell("task.completed", { taskId: task, ...JSON.parse(element.dataset.completed) });
}
for (const element of document.querySelectorAll("[data-error]")) {
  tell("task.error", { taskId: task, ...JSON.parse(element.dataset.error) });
}
