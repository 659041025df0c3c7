// A run while it goes on, and its attempts afterwards.

import { draw, remember } from "./chart.js";
import { all, call, grouped, one } from "./page.js";
import { follow, LOST } from "./watch.js";

const MAX_CELLS = 300;

/** Keeps the page of a run up to date until it ends. */
export async function running(page) {
  const id = page.dataset.id;
  const figures = Object.fromEntries(all("[data-figure]", page).map((it) => [it.dataset.figure, it]));
  const bar = one("[data-progress]", page);
  const words = one("[data-words]", page);
  const stop = one("[data-stop]", page);
  const chart = one("[data-chart]", page);
  const points = [];
  let before = null;
  stop.addEventListener("click", async () => {
    stop.disabled = true;
    await call("DELETE", `/api/proof/runs/${id}`).catch(() => {});
  });
  const show = (run) => {
    const seconds = (run.elapsed_ms / 1000).toFixed(1);
    if (run.standing === null) {
      words.textContent = `Under way for ${seconds} s.`;
      return;
    }
    const { agents, sent, committed, undecided, refusals } = run.standing;
    const refused = Object.values(refusals).reduce((sum, count) => sum + count, 0);
    const decided = committed + refused;
    bar.max = agents;
    bar.value = decided;
    stop.hidden = false;
    figures.sent.textContent = grouped(sent);
    figures.committed.textContent = grouped(committed);
    figures.refused.textContent = grouped(refused);
    figures.undecided.textContent = grouped(undecided);
    if (before !== null && run.elapsed_ms > before.at) {
      const rate = ((decided - before.decided) * 1000) / (run.elapsed_ms - before.at);
      figures.rate.textContent = grouped(Math.round(rate));
      remember(points, { x: run.elapsed_ms, rate });
      const lines = [{ key: "rate", look: "steady" }];
      draw(chart, points, { lines, label: "answers a second" });
    }
    before = { at: run.elapsed_ms, decided };
    const percent = Math.floor((decided / agents) * 100);
    const left = decided > 0 ? ((run.elapsed_ms / decided) * (agents - decided)) / 1000 : null;
    words.textContent = `${percent} % after ${seconds} s${left === null ? "" : `, about ${Math.ceil(left)} s left`}.`;
  };
  try {
    await follow(id, show, () => {
      words.textContent = LOST;
    });
  } catch (error) {
    words.textContent = error.message;
    return;
  }
  // The page of a run that has ended is another one, and stays as it is.
  location.reload();
}

function cellsOf(history) {
  const cells = new Map();
  for (const line of history.split("\n")) {
    if (line === "") {
      continue;
    }
    const { event } = JSON.parse(line);
    const asks = ["bid", "claim", "purchase", "close"];
    if (event.type === "invoke" && asks.includes(event.operation.do)) {
      cells.set(event.op, { what: event.operation.do, word: "unknown" });
    } else if (cells.has(event.op)) {
      const cell = cells.get(event.op);
      if (event.type === "ok") {
        cell.word = event.reply.reply === "refused" ? event.reply.code : "done";
      } else {
        cell.word = event.type;
      }
    }
  }
  return [...cells.values()];
}

/** Draws each attempt of a run that has ended as a cell, by its history. */
export async function attempts(section) {
  const place = one("[data-attempts]", section);
  const answer = await fetch(section.dataset.history);
  if (place === null || !answer.ok) {
    return;
  }
  const cells = cellsOf(await answer.text());
  if (cells.length === 0) {
    return;
  }
  const heading = document.createElement("h3");
  const more = cells.length > MAX_CELLS ? `, the first ${MAX_CELLS} shown` : "";
  heading.textContent = `Every attempt, in the order in which they were sent: ${grouped(cells.length)}${more}`;
  const grid = document.createElement("ol");
  grid.className = "grid";
  for (const { what, word } of cells.slice(0, MAX_CELLS)) {
    const cell = document.createElement("li");
    cell.dataset.word = word === "done" || word === "unknown" ? word : "refused";
    cell.title = `${what}: ${word.replaceAll("_", " ")}`;
    const name = document.createElement("span");
    name.className = "unseen";
    name.textContent = cell.title;
    cell.append(name);
    grid.append(cell);
  }
  place.replaceChildren(heading, grid);
}
