// Keeps the instrument panels up to date. Pages work without it, as of when they were loaded.

import { forms } from "./forms.js";
import { mission } from "./mission.js";
import { all, keepActing, one } from "./page.js";
import { playground } from "./playground.js";
import { attempts, running } from "./run.js";
import { tiles } from "./tiles.js";
import { versus } from "./versus.js";

const parts = { mission, playground };

keepActing();
tiles();
forms();
for (const section of all("[data-versus]")) {
  versus(section);
}
for (const page of all("[data-panel]")) {
  parts[page.dataset.panel]?.(page);
}
const run = one("[data-panel='run']");
if (run?.dataset.state === "running") {
  running(run);
}
for (const section of all("[data-scenario]")) {
  attempts(section);
}
