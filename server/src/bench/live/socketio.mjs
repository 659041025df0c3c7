// The side of Socket.IO: the same frames to the same clients, with the same orders on the standard
// input. Run by Node, which finds the package by the path in the last argument.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { createServer } from "node:http";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";

const require = createRequire(process.argv.at(-1));
const { Server } = require("socket.io");

// Bytes that may wait in Node for one socket before the next group is published.
const WINDOW_BYTES = 4_096;

const http = createServer();
const io = new Server(http, { transports: ["websocket"], serveClient: false });
let frame = {};

io.engine.on("connection", (client) => client.transport.socket._socket.setNoDelay(true));

// The process's own idea of when it began is off by milliseconds, so the clock is met at the turn of
// a millisecond.
const began = (() => {
  const before = Date.now();
  let now = before;
  while (now === before) {
    now = Date.now();
  }
  return now - performance.now();
})();

const stamp = () => {
  const ns = BigInt(Math.round((began + performance.now()) * 1_000)) * 1_000n;
  return `@${ns.toString().padStart(20, "0")}`;
};

const emit = () => {
  frame.push.line.who.name = stamp();
  io.emit("push", frame);
};

const clients = () => [...io.engine.clients ? Object.values(io.engine.clients) : []];

// One write a frame is what emit does. For several frames in one write, each client's packets are
// gathered, and its connection is corked while they are handed over.
const publish = (frames) => {
  if (frames === 1) {
    emit();
    return;
  }
  const all = clients();
  for (const client of all) {
    client.transport.writable = false;
  }
  for (let n = 0; n < frames; n += 1) {
    emit();
  }
  for (const client of all) {
    const raw = client.transport.socket._socket;
    client.transport.writable = true;
    raw.cork();
    client.flush();
    raw.uncork();
  }
};

const waits = () =>
  clients().some(
    (client) =>
      client.writeBuffer.length > 0 ||
      !client.transport.writable ||
      client.transport.socket.bufferedAmount > WINDOW_BYTES,
  );

const orders = {
  copy: ({ frame: text }) => {
    frame = JSON.parse(text);
    return null;
  },
  publish: async ({ groups, per_group }) => {
    for (let n = 0; n < groups; n += 1) {
      publish(per_group);
      do {
        await turn();
      } while (waits());
    }
    return { frames_per_write: per_group };
  },
  pace: async ({ per_second, groups, per_group }) => {
    const begun = performance.now();
    for (let n = 0; n < groups; n += 1) {
      const wait = begun + (n * 1_000) / per_second - performance.now();
      if (wait > 0) {
        await sleep(wait);
      }
      publish(per_group);
    }
    return null;
  },
};

const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

http.listen(0, "127.0.0.1", 4_096, () => {
  say({ address: `127.0.0.1:${http.address().port}`, lot: null, epoch: 0 });
});

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const order = JSON.parse(line);
    try {
      say({ id: order.id, done: await orders[order.do](order) });
    } catch (error) {
      say({ id: order.id, failed: String(error) });
    }
  })
  .on("close", () => process.exit(0));
