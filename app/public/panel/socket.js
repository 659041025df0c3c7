// The live socket, for panels: one channel, whatever happens to the connection in between.

const SUBPROTOCOL = "lotzero.v1.json";
const FIRST_MS = 200;
const LONGEST_MS = 20_000;
const STABLE_MS = 30_000;
const PING_EVERY_MS = 5_000;
const SILENT_AFTER_MS = 12_000;
const RESTARTS = 1012;
const STAY_AWAY = 4500;
const SILENT = 4000;

const address = () => `${location.origin.replace(/^http/, "ws")}/live`;

/** How long to stay away: with full jitter, and longer from a server that restarts. */
function pause(code, tries) {
  if (code === RESTARTS) {
    return 2_000 + Math.random() * 18_000;
  }
  return Math.random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** tries);
}

/** One connection. Tells `taken` of each message, and once, with a code, that it is over. */
function connect(channel, { taken, over }) {
  const socket = new WebSocket(address(), SUBPROTOCOL);
  let heard = Date.now();
  const send = (frame) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(frame));
  const subscribe = () => send({ type: "subscribe", id: 1, channel });
  const end = (code) => {
    clearInterval(pings);
    if (over !== null) {
      const tell = over;
      over = null;
      socket.close();
      tell(code);
    }
  };
  // A connection can be dead without having ended.
  const pings = setInterval(() => {
    if (Date.now() - heard > SILENT_AFTER_MS) {
      end(SILENT);
    } else {
      send({ type: "ping", id: 2 });
    }
  }, PING_EVERY_MS);
  socket.addEventListener("open", subscribe);
  socket.addEventListener("close", ({ code }) => end(code));
  socket.addEventListener("message", ({ data }) => {
    heard = Date.now();
    const message = JSON.parse(data);
    if (over === null) {
      return;
    }
    if (message.type === "resync") {
      subscribe();
    } else {
      taken(message);
    }
  });
  return end;
}

/**
 * Listens to a channel. `hear` gets what each snapshot and push tells, `lost` is called when the
 * connection ends, and `refused` with a sentence when it is no use to come back. Answers a function
 * that ends it.
 */
export function listen(channel, { hear, lost = () => {}, refused = () => {} }) {
  let end = null;
  let timer = null;
  let tries = 0;
  let ended = false;

  const stop = () => {
    ended = true;
    clearTimeout(timer);
    end(1000);
  };

  const taken = (message) => {
    if (message.type === "snapshot") {
      hear(message.snapshot);
    } else if (message.type === "push") {
      hear(message.push);
    } else if (message.type === "error" && message.temporary) {
      end(1000);
    } else if (message.type === "error") {
      stop();
      refused(message.message);
    }
  };

  const begin = () => {
    const begun = Date.now();
    const over = (code) => {
      if (ended) {
        return;
      }
      lost();
      if (code >= STAY_AWAY) {
        ended = true;
        refused("The house asks to stay away.");
        return;
      }
      tries = Date.now() - begun >= STABLE_MS ? 0 : Math.min(tries + 1, 16);
      timer = setTimeout(begin, pause(code, tries));
    };
    end = connect(channel, { taken, over });
  };

  begin();
  return stop;
}
