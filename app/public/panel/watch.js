// Waiting for a run that was begun here.

import { call } from "./page.js";
import { listen } from "./socket.js";

/** What is said while a run goes on and nobody tells how. */
export const LOST = "The connection is lost. Trying again.";

/** Begins a run; answers its id. Throws what the house says if it refuses. */
export async function begin(wish) {
  const { value } = await call("POST", "/api/proof/runs", wish);
  return value.id;
}

/**
 * Follows a run until it has ended, telling `show` of each step, and `lost` if the connection ends,
 * which comes back by itself. The channel tells of the node's
 * latest run: once that is another one, this one has ended.
 */
export function follow(id, show = () => {}, lost = () => {}) {
  return new Promise((resolve, reject) => {
    const end = listen("runs", {
      hear: ({ run }) => {
        const goesOn = run?.id === id && run.state === "running";
        if (goesOn) {
          show(run);
        } else {
          end();
          resolve();
        }
      },
      lost,
      refused: (why) => reject(new Error(why)),
    });
  });
}

/** The same; answers the run with its report. */
export async function ended(id, show, lost) {
  await follow(id, show, lost);
  const { value } = await call("GET", `/api/proof/runs/${id}`);
  return value;
}
