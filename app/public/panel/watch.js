// Waiting for a run that was begun here.

import { call } from "./page.js";

/** Begins a run; answers its id. Throws what the house says if it refuses. */
export async function begin(wish) {
  const { value } = await call("POST", "/api/proof/runs", wish);
  return value.id;
}

/** Waits until a run has ended, telling `show` of each step; answers it with its report. */
export function ended(id, show = () => {}) {
  return new Promise((resolve, reject) => {
    const events = new EventSource(`/api/proof/runs/${id}/events`);
    events.addEventListener("error", () => {
      // It reconnects by itself, but for a run that is not there any more.
      if (events.readyState === EventSource.CLOSED) {
        reject(new Error("The house does not answer."));
      }
    });
    events.addEventListener("run", async (event) => {
      const run = JSON.parse(event.data);
      show(run);
      if (run.state !== "running") {
        events.close();
        const { value } = await call("GET", `/api/proof/runs/${id}`);
        resolve(value);
      }
    });
  });
}
