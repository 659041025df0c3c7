// The playground: a stand of one's own, one commit that can be edited and repeated, and a crowd that
// finds out which rule binds. Everything is sent through the public API.

import { call, grouped, one } from "./page.js";

/** How many agents wait for an answer at the same time: browsers hold six connections anyway. */
const WIDTH = 24;

const WORDS = {
  sold_out: "the stock",
  mandate_exhausted: "the budget",
};

class Playground {
  constructor(page) {
    this.page = page;
    this.form = one("[data-stand]", page);
    this.problem = one("[data-problem]", page);
    this.body = one("[data-body]", page);
    this.key = one("[data-key]", page);
    this.send = one("[data-send]", page);
    this.fresh = one("[data-fresh]", page);
    this.crowd = one("[data-crowd]", page);
    this.curl = one("[data-curl]", page);
    this.stand = null;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.build();
    });
    this.send.addEventListener("click", () => this.commit());
    this.fresh.addEventListener("click", () => this.freshKey());
    this.crowd.addEventListener("click", () => this.unleash());
    this.body.addEventListener("input", () => this.showCurl());
    this.key.addEventListener("input", () => this.showCurl());
    one("[data-copy]", page).addEventListener("click", (event) => this.copy(event.target));
    one("[data-build]", page).disabled = false;
  }

  freshKey() {
    this.key.value = `play-${crypto.randomUUID()}`;
    this.showCurl();
  }

  showCurl() {
    if (this.stand === null) {
      return;
    }
    const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
    this.curl.textContent = [
      `curl ${location.origin}/v1/purchases/commit`,
      `  -H ${quoted(`Authorization: Bearer ${this.stand.api_key}`)}`,
      `  -H ${quoted(`Idempotency-Key: ${this.key.value}`)}`,
      `  -H 'Content-Type: application/json'`,
      `  -d ${quoted(this.body.value)}`,
    ].join(" \\\n");
  }

  async copy(button) {
    await navigator.clipboard.writeText(this.curl.textContent).catch(() => {});
    button.textContent = "Copied";
    setTimeout(() => {
      button.textContent = "Copy";
    }, 2000);
  }

  async build() {
    const button = one("[data-build]", this.page);
    button.disabled = true;
    this.problem.textContent = "";
    const number = (name) => Number(this.form.elements[name].value);
    const wish = {
      stock: number("stock"),
      budget_minor: Math.round(number("budget") * 100),
    };
    try {
      const { value } = await call("POST", "/api/playground", wish);
      this.stand = value;
      this.agents = number("agents");
      this.body.value = JSON.stringify(value.request, null, 2);
      this.freshKey();
      for (const control of [this.body, this.key, this.send, this.fresh, this.crowd]) {
        control.disabled = false;
      }
      this.crowd.textContent = `Send ${grouped(this.agents)} agents`;
      one("[data-steps]", this.page).hidden = false;
      this.clear();
      await this.look();
    } catch (error) {
      this.problem.textContent = error.message;
    }
    button.disabled = false;
  }

  clear() {
    one("[data-answer]", this.page).hidden = true;
    one("[data-binds]", this.page).textContent = "";
    one("[data-outcomes]", this.page).replaceChildren();
  }

  ask(key, body) {
    return fetch("/v1/purchases/commit", {
      method: "POST",
      headers: {
        authorization: `Bearer ${this.stand.api_key}`,
        "idempotency-key": key,
        "content-type": "application/json",
      },
      body,
    });
  }

  /** What is left, by the API. */
  async look() {
    const read = async (path) => {
      const headers = { authorization: `Bearer ${this.stand.api_key}` };
      return (await fetch(path, { headers })).json();
    };
    const { item_id, mandate_id } = this.stand.request;
    const [item, mandate] = await Promise.all([
      read(`/v1/items/${item_id}`),
      read(`/v1/mandates/${mandate_id}`),
    ]);
    one("[data-left='units']", this.page).textContent = grouped(item.available);
    const dollars = (mandate.remaining_minor / 100).toFixed(2);
    one("[data-left='budget']", this.page).textContent = `$${dollars}`;
  }

  async commit() {
    this.send.disabled = true;
    const answer = await this.ask(this.key.value, this.body.value).catch((error) => error);
    const shown = one("[data-answer]", this.page);
    shown.hidden = false;
    if (answer instanceof Error) {
      one("[data-status]", this.page).textContent = "No answer. The same key may be sent again.";
    } else {
      const text = await answer.text();
      const replayed = answer.headers.get("idempotent-replayed") === "true";
      one("[data-status]", this.page).textContent =
        `${answer.status}${replayed ? ", replayed: the key had been answered, nothing was done again" : ""}`;
      one("[data-reply]", this.page).textContent = pretty(text);
      await this.look();
    }
    this.send.disabled = false;
  }

  /** Everybody at once; what they hear tells which rule binds. */
  async unleash() {
    this.crowd.disabled = true;
    const outcomes = new Map();
    let next = 0;
    const run = crypto.randomUUID();
    const agent = async () => {
      while (next < this.agents) {
        const number = next;
        next += 1;
        const body = { ...this.stand.request, agent_id: `agent-${run.slice(0, 8)}-${number}` };
        const answer = await this.ask(`crowd-${run}-${number}`, JSON.stringify(body));
        const value = await answer.json().catch(() => ({}));
        const outcome = answer.ok ? "committed" : (value.code ?? `status ${answer.status}`);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        this.showOutcomes(outcomes);
      }
    };
    await Promise.all(Array.from({ length: WIDTH }, agent)).catch((error) => {
      this.problem.textContent = error.message;
    });
    const refusals = [...outcomes.keys()].filter((outcome) => outcome !== "committed");
    const bound = refusals.map((code) => WORDS[code] ?? code.replaceAll("_", " "));
    one("[data-binds]", this.page).textContent =
      bound.length === 0 ? "Nothing binds: everybody got a unit." : `What binds: ${bound.join(" and ")}.`;
    await this.look();
    this.crowd.disabled = false;
  }

  showOutcomes(outcomes) {
    const most = Math.max(...outcomes.values());
    const rows = [...outcomes].map(([outcome, count]) => {
      const row = document.createElement("tr");
      const name = document.createElement("th");
      name.scope = "row";
      name.textContent = outcome.replaceAll("_", " ");
      const number = document.createElement("td");
      number.className = "number";
      number.textContent = grouped(count);
      const bar = document.createElement("td");
      bar.className = "bar";
      const meter = document.createElement("meter");
      meter.max = most;
      meter.value = count;
      bar.append(meter);
      row.append(name, number, bar);
      return row;
    });
    one("[data-outcomes]", this.page).replaceChildren(...rows);
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Brings the playground to life. */
export function playground(page) {
  if (one("[data-stand]", page) !== null) {
    new Playground(page);
  }
}
