// The card on the floor that runs a real burst: a thousand agents, each by a request of its own.

import { grouped, placed } from "./page.js";
import { begin, ended, LOST } from "./watch.js";

const AGENTS = 1_000;
const UNITS = 25;

function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function figure(label) {
  const value = make("dd", {}, "0");
  return { value, shown: make("div", {}, value, make("dt", {}, label)) };
}

class Card {
  constructor() {
    this.said = make("p", { class: "burst-said", role: "status" });
    this.said.textContent = `${grouped(AGENTS)} agents want ${UNITS} units, at once, through the API.`;
    this.bar = make("progress", { max: AGENTS, value: 0, "aria-label": "Agents answered" });
    this.sold = figure("sold");
    this.refused = figure("refused");
    this.over = figure("oversold");
    this.button = make("button", { class: "button", type: "button" }, "Unleash them");
    this.button.addEventListener("click", () => this.run());
    this.link = make("a", { href: placed("/proof"), rel: "external" }, "How that is proven");
    const figures = [this.sold, this.refused, this.over].map(({ shown }) => shown);
    this.shown = make(
      "aside",
      { class: "burst", "aria-label": "A burst of agents", "data-testid": "burst" },
      make("h2", {}, "Try to break it"),
      this.said,
      this.bar,
      make("dl", {}, ...figures),
      make("p", { class: "burst-ways" }, this.button, this.link),
    );
  }

  follow({ standing }) {
    this.said.textContent = "They are on their way.";
    if (standing === null) {
      return;
    }
    const refused = Object.values(standing.refusals).reduce((sum, count) => sum + count, 0);
    this.bar.value = standing.committed + refused;
    this.sold.value.textContent = grouped(standing.committed);
    this.refused.value.textContent = grouped(refused);
  }

  show(run) {
    const scenario = run.report?.scenarios[0];
    if (scenario === undefined) {
      throw new Error(run.problem ?? "The run did not come to its end.");
    }
    const over = Math.max(0, scenario.committed - UNITS);
    this.bar.value = AGENTS;
    this.sold.value.textContent = grouped(scenario.committed);
    this.refused.value.textContent = grouped(scenario.refused);
    this.over.value.textContent = grouped(over);
    const seconds = (scenario.elapsed_ms / 1000).toFixed(1);
    this.said.textContent =
      run.state === "held"
        ? `${scenario.committed} of ${UNITS} sold in ${seconds} s, ${grouped(scenario.retries)} retries. Every rule held.`
        : `${grouped(run.report.violations)} violations. See its page.`;
  }

  async run() {
    this.button.disabled = true;
    this.bar.value = 0;
    this.over.value.textContent = "0";
    this.said.textContent = "They are on their way.";
    try {
      const id = await begin({ run: "swarm", agents: AGENTS, stock: UNITS });
      this.link.href = placed(`/proof/runs/${id}`);
      this.link.textContent = "The run's own page";
      const lost = () => {
        this.said.textContent = LOST;
      };
      this.show(await ended(id, (run) => this.follow(run), lost));
      this.button.textContent = "Again";
    } catch (error) {
      this.said.textContent = error.message;
    }
    this.button.disabled = false;
  }
}

const card = new Card();

// The floor is drawn anew whenever somebody comes back to it; the card and what it shows stay.
function place() {
  const hero = document.querySelector(".hero");
  if (hero !== null && card.shown.parentElement !== hero) {
    hero.append(card.shown);
  }
}

const main = document.querySelector("#main");
if (main !== null) {
  new MutationObserver(place).observe(main, { childList: true });
  place();
}
