// The switches of Regions: arm, confirm, restore; and the probe between two of them.

import { all, call, grouped, one } from "./page.js";

/** Shows how a Region stands, on its lamp and on the map. */
export function showLamp(lamp, region) {
  lamp.dataset.open = String(region.open);
  const spot = one(`[data-spot="${region.region}"]`);
  if (spot !== null) {
    spot.dataset.open = String(region.open);
  }
  one("[data-lamp]", lamp).textContent = region.open ? "open" : "taken away";
  const faults = region.faults.map((fault) => fault.fault.replaceAll("_", " "));
  const effects = region.counters.refused + region.counters.cut + region.counters.held;
  const told = faults.length === 0 ? "nothing wrong" : faults.join(", ");
  one("[data-detail]", lamp).textContent =
    `${told}, ${grouped(region.open_connections)} connections, ${grouped(effects)} turned away`;
  one("[data-arm]", lamp).disabled = !region.open;
  one("[data-restore]", lamp).disabled = faults.length === 0;
}

/** Lets somebody take a Region away, in two steps, and give it back. */
export function switches(lamp) {
  const region = lamp.dataset.region;
  const [arm, confirm, restore] = ["arm", "confirm", "restore"].map((it) => one(`[data-${it}]`, lamp));
  const problem = one("[data-problem]", lamp);
  let token = null;
  let until = 0;
  let timer = null;
  const reset = () => {
    token = null;
    clearInterval(timer);
    confirm.hidden = true;
    arm.hidden = false;
  };
  // Everybody sees how long it can still be confirmed.
  const count = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    if (left <= 0) {
      reset();
    } else {
      confirm.textContent = `Confirm, ${left} s`;
    }
  };
  const attempt = async (what) => {
    problem.textContent = "";
    try {
      await what();
    } catch (error) {
      problem.textContent = error.message;
      reset();
    }
  };
  arm.addEventListener("click", () =>
    attempt(async () => {
      const fault = { fault: one("[data-fault]", lamp).value };
      const { value } = await call("POST", "/api/regions/arm", { region, fault });
      token = value.token;
      arm.hidden = true;
      confirm.hidden = false;
      until = Date.now() + value.valid_ms;
      timer = setInterval(count, 200);
      count();
      confirm.focus();
    }),
  );
  confirm.addEventListener("click", () =>
    attempt(async () => {
      await call("POST", "/api/regions/confirm", { token });
      reset();
    }),
  );
  restore.addEventListener("click", () =>
    attempt(() => call("POST", "/api/regions/restore", { region })),
  );
}

/** Writes at one Region and reads at another, when asked to. */
export function probe(page) {
  const button = one("[data-probe]", page);
  const codes = all("[data-region]", page).map((it) => it.dataset.region);
  if (button === null || codes.length < 2) {
    return;
  }
  const said = one("[data-probed]", page);
  button.disabled = false;
  button.addEventListener("click", async () => {
    said.textContent = "Asking.";
    try {
      const between = { write: codes[0], read: codes[1] };
      const { value } = await call("POST", "/api/regions/probe", between);
      const same = value.equal ? "the same" : "NOT THE SAME";
      said.textContent = `Written in ${value.write_ms} ms, read in ${value.read_ms} ms: ${same}.`;
    } catch (error) {
      said.textContent = error.message;
    }
  });
}
