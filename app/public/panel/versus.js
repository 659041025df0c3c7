// The same crowd against our engine and against a naive one, one after the other.

import { all, grouped, one, placed } from "./page.js";
import { begin, ended, LOST } from "./watch.js";

function show(side, run) {
  const scenario = run.report?.scenarios[0];
  if (scenario === undefined) {
    throw new Error(run.problem ?? "The run did not come to its end.");
  }
  const over = Math.max(0, scenario.figures["units sold twice"] ?? 0);
  side.dataset.state = over === 0 && run.state === "held" ? "held" : "broken";
  one("[data-over]", side).textContent = grouped(over);
  one("[data-said]", side).textContent =
    `${grouped(scenario.expected + over)} sold of ${grouped(scenario.expected)}.`;
  const link = one("[data-link]", side);
  link.href = placed(`/proof/runs/${run.id}`);
  link.hidden = false;
}

/** Lets somebody run both. */
export function versus(section) {
  const button = one("[data-both]", section);
  const problem = one("[data-problem]", section);
  button.disabled = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    problem.textContent = "";
    try {
      for (const side of all("[data-side]", section)) {
        side.dataset.state = "running";
        one("[data-said]", side).textContent = "Running.";
        const wish = { run: "scenario", name: "oversell", engine: side.dataset.side };
        const said = one("[data-said]", side);
        const running = () => {
          said.textContent = "Running.";
        };
        const lost = () => {
          said.textContent = LOST;
        };
        show(side, await ended(await begin(wish), running, lost));
      }
    } catch (error) {
      problem.textContent = error.message;
    }
    button.disabled = false;
  });
}
