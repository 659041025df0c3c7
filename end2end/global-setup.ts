import { chmodSync, mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { Server } from "./server.ts";

/** Starts the real server with a data folder of its own; the result stops it. */
export default async function start(): Promise<() => Promise<void>> {
  const data = mkdtempSync(join(tmpdir(), "lotzero-"));
  // Started by root, the server hands PostgreSQL to another user, who must get in here.
  chmodSync(data, 0o755);
  let server: Server;
  try {
    server = await Server.start("end2end-server", data);
  } catch (error) {
    await remove(data);
    throw error;
  }
  process.env.LOTZERO_URL = server.url;
  process.env.LOTZERO_TEST_DATA = data;
  return async () => {
    try {
      await server.stop();
    } finally {
      await remove(data);
    }
  };
}

/** How often and how long apart a folder is removed anew: the stores end three seconds after their last user. */
const TRIES = 20;
const PAUSE_MS = 500;

/**
 * Removes a folder into which the stores may still write. What they make while it is being removed stays in its
 * way, and the retries of `rm` itself do not look again, so this begins anew.
 */
async function remove(data: string): Promise<void> {
  for (let left = TRIES; ; left -= 1) {
    try {
      await rm(data, { recursive: true, force: true });
      return;
    } catch (error) {
      if (left === 0) throw error;
      await setTimeout(PAUSE_MS);
    }
  }
}
