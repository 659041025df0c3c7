import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
    remove(data);
    throw error;
  }
  process.env.LOTZERO_URL = server.url;
  process.env.LOTZERO_TEST_DATA = data;
  return async () => {
    try {
      await server.stop();
    } finally {
      remove(data);
    }
  };
}

/** The stores end a moment after their last user and may still be writing. */
function remove(data: string): void {
  rmSync(data, { recursive: true, force: true, maxRetries: 10, retryDelay: 300 });
}
