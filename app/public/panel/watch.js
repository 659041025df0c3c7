// Waiting for a run that was begun here.

import { call } from "./page.js";
import { listen } from "./socket.js";

/** Begins a run; answers its id. Throws what the house says if it refuses. */
export async function begin(wish) {
  const { value } = await call("POST", "/api/proof/runs", wish);
  return value.id;
}

/**
 * Follows a run until it has ended, telling `show` of each step. The channel tells of the node's
 * latest run: once that is another one, this one has ended.
 */
export function follow(id, show = () => {}) {
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
      refused: (why) => reject(new Error(why)),
    });
  });
}

/** Waits until a run has ended, telling `show` of each step; answers it with its report. */
export async function ended(id, show) {
  await follow(id, show);
  const { value } = await call("GET", `/api/proof/runs/${id}`);
  return value;
}
