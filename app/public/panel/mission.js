// Mission Control: the house once a second.

import { draw, remember } from "./chart.js";
import { all, grouped, one, placed } from "./page.js";
import { probe, showLamp, switches } from "./regions.js";
import { listen } from "./socket.js";

/** How much of a bucket's heat is left after a second: half of it after ten. */
const COOLING = 0.933;

/** What a bucket that lost this many races in the last seconds looks like: as hot as it gets. */
const HOTTEST = 12;

/** Vitals come every second: after so long without any, what is shown is old. */
const STALE_AFTER_MS = 5_000;

const clock = () => `${new Date().toISOString().slice(11, 19)} UTC`;

/** What was done, in words and as marks on the charts. */
class Log {
  constructor(list) {
    this.list = list;
    this.marks = [];
  }

  note(x, what) {
    this.marks.push({ x, what });
    const line = document.createElement("li");
    line.textContent = `${clock()}: ${what}`;
    this.list.prepend(line);
  }
}

/** Follows the Regions: their lamps, and when one was taken away. */
function regionsOf(page, log) {
  const open = new Map();
  return (now) => {
    for (const region of now.regions?.regions ?? []) {
      const lamp = one(`[data-region="${region.region}"]`, page);
      if (lamp === null) {
        continue;
      }
      showLamp(lamp, region);
      const was = open.get(region.region);
      if (was !== undefined && was !== region.open) {
        const name = one("h3", lamp).textContent;
        log.note(now.at_ms, region.open ? `${name} is back` : `${name} was taken away`);
      }
      open.set(region.region, region.open);
    }
  };
}

/** Follows the runs of the house. */
function runsOf(page, log) {
  let running = null;
  return (now) => {
    if (now.run === running) {
      return;
    }
    if (now.run === null) {
      log.note(now.at_ms, "the run ended");
      one("[data-run-link] a", page).textContent = "The last run";
    } else {
      log.note(now.at_ms, "a run began");
      const link = document.createElement("a");
      link.href = placed(`/proof/runs/${now.run}`);
      link.rel = "external";
      link.textContent = "A run goes on";
      one("[data-run-link]", page).replaceChildren(link);
    }
    running = now.run;
  };
}

/** Warms up the buckets in which races are lost. */
function heatOf(page) {
  const cells = all("[data-bucket]", page);
  const heat = cells.map(() => 0);
  let before = null;
  return (now) => {
    now.buckets.forEach(([committed, lost], number) => {
      const more = before === null ? 0 : Math.max(0, lost - before[number][1]);
      heat[number] = heat[number] * COOLING + more;
      const cell = cells[number];
      cell.style.setProperty("--heat", Math.min(1, heat[number] / HOTTEST).toFixed(3));
      cell.title = `bucket ${number}: ${grouped(committed)} commits, ${grouped(lost)} lost races`;
    });
    before = now.buckets;
    const lost = now.buckets.reduce((sum, [, count]) => sum + count, 0);
    const commits = now.buckets.reduce((sum, [count]) => sum + count, 0);
    one("[data-heat-words]", page).textContent =
      `${grouped(commits)} commits took from a bucket, ${grouped(lost)} tries lost a race there.`;
  };
}

/** Shows what was committed last. */
function tailOf(page) {
  const list = one("[data-tail]", page);
  let newest = 0;
  return (now) => {
    const number = now.tail[0]?.number ?? 0;
    if (number === newest) {
      return;
    }
    newest = number;
    list.replaceChildren(
      ...now.tail.map(({ number, at, text }) => {
        const line = document.createElement("li");
        const time = new Date(at).toISOString().slice(11, 23);
        line.textContent = `${grouped(number)}  ${time}  ${text}`;
        return line;
      }),
    );
  };
}

/** Follows commits, retries and how long they take. */
function chartsOf(page, log) {
  const vitals = Object.fromEntries(all("[data-vital]", page).map((it) => [it.dataset.vital, it]));
  const points = [];
  let before = null;
  return (now) => {
    if (before !== null && (now.at_ms < before.at_ms || now.committed < before.committed)) {
      // Another node, or the same one anew: it counts from the beginning, and so do the charts.
      points.length = 0;
      log.marks.length = 0;
      before = null;
    }
    const retries = Object.values(now.retries).reduce((sum, count) => sum + count, 0);
    vitals.database.textContent = `Database: ${now.database}.`;
    vitals.stream.textContent = `Stream: ${now.stream}.`;
    vitals.sockets.textContent = grouped(now.sockets);
    vitals.unknown.textContent = grouped(now.unknown_commits);
    vitals.waiting.textContent = now.outbox === null ? "?" : grouped(now.outbox.waiting);
    vitals.oldest.textContent = now.outbox === null ? "?" : grouped(now.outbox.oldest_ms);
    if (before !== null && now.at_ms > before.at_ms) {
      const per = (count) => Math.max(0, (count * 1000) / (now.at_ms - before.at_ms));
      const [p50, p99] = now.latency ?? [null, null];
      const point = {
        x: now.at_ms,
        committed: per(now.committed - before.committed),
        retries: per(retries - before.retries),
        p50,
        p99,
      };
      vitals.committed.textContent = grouped(Math.round(point.committed));
      vitals.retries.textContent = grouped(Math.round(point.retries));
      vitals.p99.textContent = p99 === null ? "none" : p99.toFixed(1);
      remember(points, point);
      draw(one("[data-chart='throughput']", page), points, {
        lines: [
          { key: "committed", look: "steady" },
          { key: "retries", look: "dashed" },
        ],
        label: "commits (line) and retries (dashes) a second",
        marks: log.marks,
      });
      draw(one("[data-chart='latency']", page), points, {
        lines: [
          { key: "p50", look: "steady" },
          { key: "p99", look: "dashed" },
        ],
        label: "a command's p50 (line) and p99 (dashes) in ms",
        marks: log.marks,
      });
    }
    before = { at_ms: now.at_ms, committed: now.committed, retries };
  };
}

/** Keeps Mission Control up to date. */
export function mission(page) {
  const log = new Log(one("[data-log]", page));
  for (const lamp of all("[data-region]", page)) {
    switches(lamp);
  }
  probe(page);
  const parts = [
    chartsOf(page, log),
    heatOf(page),
    tailOf(page),
    regionsOf(page, log),
    runsOf(page, log),
  ];
  const freshness = one("[data-freshness]", page);
  const pause = one("[data-pause]", page);
  const say = (word) => {
    freshness.dataset.freshness = word;
    freshness.textContent = word === "live" ? "live" : `${word} since ${clock()}`;
  };
  let paused = false;
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    if (paused) {
      say("paused");
    }
  });
  let heard = Date.now();
  const isStale = () => freshness.dataset.freshness === "stale";
  const stale = () => {
    if (!paused && !isStale()) {
      say("stale");
    }
  };
  // A connection can be dead without having ended.
  setInterval(() => Date.now() - heard > STALE_AFTER_MS && stale(), 1_000);
  listen("vitals", {
    hear: ({ vitals }) => {
      heard = Date.now();
      if (paused) {
        return;
      }
      say("live");
      for (const show of parts) {
        show(vitals);
      }
    },
    lost: stale,
    refused: (why) => {
      freshness.dataset.freshness = "stale";
      freshness.textContent = why;
    },
  });
}
