import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const START_LIMIT_MS = 90_000;
const STOP_LIMIT_MS = 20_000;
const POLL_MS = 50;

/** Starts the real server on a free port with a data folder of its own; the result stops it. */
export default async function start(): Promise<() => Promise<void>> {
  const binary = process.env.LOTZERO_BIN ?? join(root, "target/debug/lotzero");
  const reports = process.env.LOTZERO_REPORTS ?? join(root, "target/reports");
  const port = await freePort();
  const data = mkdtempSync(join(tmpdir(), "lotzero-"));
  // Started by root, the server hands PostgreSQL to another user, who must get in here.
  chmodSync(data, 0o755);
  mkdirSync(reports, { recursive: true });
  const log = join(reports, "end2end-server.log");

  const output = openSync(log, "w");
  const server = spawn(
    binary,
    ["serve", "--addr", `127.0.0.1:${port}`, "--data-dir", data, "--no-crowd"],
    { cwd: root, stdio: ["ignore", output, output] },
  );
  closeSync(output);
  let failure: string | undefined;
  server.on("error", (error) => (failure = error.message));

  const url = `http://127.0.0.1:${port}`;
  try {
    await until(`the server says "listening on ${url}" (see ${log})`, START_LIMIT_MS, () => {
      if (failure ?? ended(server)) {
        throw new Error(`lotzero did not start: ${failure ?? "it ended"}; see ${log}`);
      }
      return readFileSync(log, "utf8").includes(`listening on ${url}`);
    });
  } catch (error) {
    await stop(server);
    remove(data);
    throw error;
  }
  process.env.LOTZERO_URL = url;

  return async () => {
    const gracefully = await stop(server);
    remove(data);
    if (!gracefully) {
      throw new Error(`lotzero did not stop within ${STOP_LIMIT_MS} ms of SIGTERM; see ${log}`);
    }
    const errors = errorLines(readFileSync(log, "utf8"));
    if (errors.length > 0) {
      throw new Error(`the server logged errors (${log}):\n${errors.slice(0, 10).join("\n")}`);
    }
  };
}

function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const probe = createServer();
    probe.on("error", failed);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() =>
        address && typeof address === "object" ? found(address.port) : failed(new Error("no port")),
      );
    });
  });
}

/** Asks the server to stop; tells whether it did so by itself. */
async function stop(server: ChildProcess): Promise<boolean> {
  if (ended(server) || server.pid === undefined) {
    return true;
  }
  server.kill("SIGTERM");
  try {
    await until("the server to end", STOP_LIMIT_MS, () => ended(server));
    return true;
  } catch {
    server.kill("SIGKILL");
    return false;
  }
}

function ended(server: ChildProcess): boolean {
  return server.exitCode !== null || server.signalCode !== null;
}

/** The stores end a moment after their last user and may still be writing. */
function remove(data: string): void {
  rmSync(data, { recursive: true, force: true, maxRetries: 10, retryDelay: 300 });
}

function errorLines(log: string): string[] {
  return log
    .split("\n")
    .filter((line) => /"level":\s*"ERROR"|\bERROR\b|panicked at/.test(line));
}

async function until(what: string, limit: number, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + limit;
  while (!holds()) {
    if (Date.now() > deadline) {
      throw new Error(`waited ${limit} ms for ${what}`);
    }
    await new Promise((wake) => setTimeout(wake, POLL_MS));
  }
}
