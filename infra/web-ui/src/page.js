// Keeps the figures of an open page fresh. Everything else works without a script.
"use strict";

const EVERY_MS = 3000;

async function refresh() {
  const answer = await fetch("/counts");
  if (!answer.ok) return;
  const counts = await answer.json();
  counts.last_hour = Object.values(counts.last_hour).reduce((sum, count) => sum + count, 0);
  counts.open = Object.values(counts.targets).filter((target) => target.breaker !== "closed").length;
  for (const output of document.querySelectorAll("[data-count]")) {
    output.value = counts[output.dataset.count];
  }
}

setInterval(() => document.hidden || refresh().catch(() => {}), EVERY_MS);
