import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const START_LIMIT_MS = 90_000;
const STOP_LIMIT_MS = 20_000;
const POLL_MS = 50;

/** Where what the tests measured and what their servers said is kept. */
export const reports = process.env.LOTZERO_REPORTS ?? join(root, "target/reports");

/** A server of the real program, without simulated bidders, on a free port. */
export class Server {
  private constructor(
    private readonly process: ChildProcess,
    private readonly log: string,
    readonly url: string,
  ) {}

  /** Starts a node on a data folder; a second one on the same folder attaches to its stores. */
  static async start(name: string, data: string, environment: NodeJS.ProcessEnv = {}): Promise<Server> {
    const binary = process.env.LOTZERO_BIN ?? join(root, "target/debug/lotzero");
    mkdirSync(reports, { recursive: true });
    const log = join(reports, `${name}.log`);
    const output = openSync(log, "w");
    const node = spawn(
      binary,
      ["serve", "--addr", "127.0.0.1:0", "--data-dir", data, "--no-crowd", "--regional-gates"],
      { cwd: root, stdio: ["ignore", output, output], env: { ...process.env, ...environment } },
    );
    closeSync(output);
    let failure: string | undefined;
    node.on("error", (error) => (failure = error.message));

    let url: string | undefined;
    try {
      await until(`the server says where it listens (see ${log})`, START_LIMIT_MS, () => {
        if (failure ?? ended(node)) {
          throw new Error(`lotzero did not start: ${failure ?? "it ended"}; see ${log}`);
        }
        url = /listening on (http:\/\/127\.0\.0\.1:\d+)/.exec(readFileSync(log, "utf8"))?.[1];
        return url !== undefined;
      });
    } catch (error) {
      await end(node);
      throw error;
    }
    return new Server(node, log, url!);
  }

  /** Asks it to stop; fails if it had to be killed or wrote errors to its log. */
  async stop(): Promise<void> {
    if (!(await end(this.process))) {
      throw new Error(`lotzero did not stop within ${STOP_LIMIT_MS} ms of SIGTERM; see ${this.log}`);
    }
    const errors = errorLines(readFileSync(this.log, "utf8"));
    if (errors.length > 0) {
      throw new Error(`the server logged errors (${this.log}):\n${errors.slice(0, 10).join("\n")}`);
    }
  }
}

/** Asks a process to stop; tells whether it did so by itself. */
async function end(node: ChildProcess): Promise<boolean> {
  if (ended(node) || node.pid === undefined) {
    return true;
  }
  node.kill("SIGTERM");
  try {
    await until("the server to end", STOP_LIMIT_MS, () => ended(node));
    return true;
  } catch {
    node.kill("SIGKILL");
    return false;
  }
}

function ended(node: ChildProcess): boolean {
  return node.exitCode !== null || node.signalCode !== null;
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
