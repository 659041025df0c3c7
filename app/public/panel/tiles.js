// Tiles: four zeros that are never green when nobody knows.

import { all, call, grouped, one } from "./page.js";

const AUDITS_EVERY_MS = 15_000;
const STALE_AFTER_MS = 150_000;

let audited = null;

function showTile(tile, report, age) {
  const ids = tile.dataset.audits.split(" ");
  const own = report.audits.filter((audit) => ids.includes(audit.id));
  const violations = own.reduce((sum, audit) => sum + audit.violations, 0);
  const known = own.length === ids.length && own.every((audit) => audit.unknown === null);
  const fresh = age !== null && age < STALE_AFTER_MS;
  const health = violations > 0 ? "broken" : known && fresh ? "ok" : "unknown";
  tile.dataset.health = health;
  one("[data-number]", tile).textContent = health === "unknown" ? "?" : grouped(violations);
  one("[data-word]", tile).textContent = health;
  for (const audit of own) {
    const found = `${grouped(audit.violations)} rows`;
    const rows = audit.violations === 0 ? found : `${found}: ${audit.evidence.join(", ")}`;
    one(`[data-evidence="${audit.id}"]`, tile)?.replaceChildren(
      audit.unknown === null ? rows : `Not known: ${audit.unknown}`,
    );
  }
  one("[data-age]", tile).textContent =
    age === null ? "never checked" : `checked ${Math.round(age / 1000)} s ago`;
}

function showTiles() {
  if (audited === null) {
    return;
  }
  const { report, at } = audited;
  const age = report.age_ms === null ? null : report.age_ms + (Date.now() - at);
  for (const tile of all("[data-tile]")) {
    showTile(tile, report, age);
  }
}

async function audit(method) {
  try {
    const { value } = await call(method, "/api/audits");
    audited = { report: value, at: Date.now() };
  } catch {
    // What is not known any more grows old, and is unknown then.
  }
  showTiles();
}

/** Keeps the tiles of a page up to date. */
export function tiles() {
  if (one("[data-tiles]") === null) {
    return;
  }
  const button = one("[data-audit-now]");
  button.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    button.textContent = "Checking";
    await audit("POST");
    button.disabled = false;
    button.textContent = "Check now";
  });
  audit("GET");
  setInterval(showTiles, 1000);
  setInterval(() => audit("GET"), AUDITS_EVERY_MS);
}
