import {
  type APIRequestContext,
  type APIResponse,
  test as base,
  type BrowserContext,
  expect,
  type Locator,
  type Page,
  type PlaywrightTestOptions,
} from "@playwright/test";
import { randomUUID } from "node:crypto";
import type { FloorPage, Lot, LotOf, Mechanism, RoomPage, WalletPage } from "./types.ts";

/** Takes over what a test led, so that no hold of one test changes money in the next. */
const LAST_BIDDER = "minjun";

/** More than any test spends. */
const FUNDS_MINOR = 1_500_000;

/**
 * How long a test waits for a lot that suits it: when none lasts as long as it needs, the ones
 * there have to end before others come up. The test's own time does not count it.
 */
const FIND_LIMIT_MS = 100_000;

/** From this price on a lot is dear: $5,000, where the raises begin to grow. */
const DEAR_MINOR = 5_000_00;

/** A refused command is an answer: the browser notes its status, the page has nothing to regret. */
const DECIDED = /status of (401|402|409|422)/;
const COMMAND = /\/(api\/(bid|claim|settle|top-up)|v1\/purchases\/commit)$/;

interface Fixtures {
  /** What a test's pages are allowed to write as errors to their console. */
  expected: RegExp[];
  complaints: string[];
  house: House;
}

/**
 * The tests' own `test`: it knows the server's address and fails a test whose pages wrote an error
 * to their console, threw, broke their own policy, or asked for something that was not there.
 */
export const test = base.extend<Fixtures>({
  baseURL: async ({}, use) => {
    await use(serverUrl());
  },
  expected: [[], { option: true }],
  complaints: [
    async ({ context, expected }, use) => {
      const complaints: string[] = [];
      await watch(context, complaints);
      await use(complaints);
      const unexpected = complaints.filter((said) => !expected.some((known) => known.test(said)));
      expect(unexpected, "what the pages complained about").toEqual([]);
    },
    { auto: true },
  ],
  house: async ({ playwright }, use) => {
    const house = new House(await playwright.request.newContext(ownOrigin()));
    await use(house);
    await house.leave();
  },
});

export { expect };

export function serverUrl(): string {
  const url = process.env.LOTZERO_URL;
  if (!url) {
    throw new Error("the global setup sets LOTZERO_URL");
  }
  return url;
}

/** What a request needs to be taken for one of the house's own pages. */
export function ownOrigin(): Pick<PlaywrightTestOptions, "baseURL" | "extraHTTPHeaders"> {
  return { baseURL: serverUrl(), extraHTTPHeaders: { origin: serverUrl() } };
}

/** Prepares a browser: marks hydration, collects complaints. */
export async function watch(context: BrowserContext, complaints: string[]): Promise<void> {
  await context.addInitScript(markStart);
  context.on("console", (message) => {
    const decided = DECIDED.test(message.text()) && COMMAND.test(message.location().url);
    if (message.type() === "error" && !decided) {
      complaints.push(`console: ${message.text()} ${message.location().url}`);
    }
  });
  context.on("weberror", (error) => complaints.push(`thrown: ${error.error().message}`));
}

/**
 * Runs in the page before anything of its own. The bundle hydrates in the microtasks that follow
 * its instantiation, so a timer set there fires when hydration is done.
 */
function markStart(): void {
  document.addEventListener("securitypolicyviolation", (event) => {
    console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
  });
  for (const name of ["instantiate", "instantiateStreaming"] as const) {
    const original = WebAssembly[name] as (...given: unknown[]) => Promise<unknown>;
    const marked = async (...given: unknown[]) => {
      const made = await original(...given);
      setTimeout(() => Reflect.set(window, "isHydrated", true));
      return made;
    };
    Reflect.set(WebAssembly, name, marked);
  }
}

/** Opens a page and waits until its wasm has taken over. */
export async function open(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await hydrated(page);
}

/** Waits until the page's wasm has taken over; before that, forms work as plain forms. */
export async function hydrated(page: Page): Promise<void> {
  await page.waitForFunction(() => Reflect.get(window, "isHydrated") === true);
}

/** Opens a page and waits until its socket is live. */
export async function openLive(page: Page, path: string): Promise<void> {
  await open(page, path);
  await expect(page.getByTestId("connection")).toHaveAttribute("data-state", "live");
}

/** The page is no wider than its window. */
export async function expectFits(page: Page): Promise<void> {
  const overflow = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  expect(overflow, `${page.url()} scrolls sideways`).toBeLessThanOrEqual(0);
}

/** Marks the document, to tell later that it was never loaded anew. */
export async function mark(page: Page): Promise<void> {
  await page.evaluate(() => Reflect.set(window, "isMarked", true));
}

export async function expectNoReload(page: Page): Promise<void> {
  expect(await page.evaluate(() => Reflect.get(window, "isMarked")), "the page was reloaded").toBe(
    true,
  );
}

/** The minor units of an amount on the page. */
export async function minorOf(amount: Locator): Promise<number> {
  const value = await amount.getAttribute("value");
  expect(value).toMatch(/^-?\d+$/);
  return Number(value);
}

/** The room's big price. */
export function priceOf(page: Page): Locator {
  return page.locator(".price-now").getByTestId("price");
}

/** An amount in the header: `available` or `held`. */
export function moneyOf(page: Page, name: "available" | "held"): Locator {
  return page.getByTestId(name).locator("data");
}

/** Waits until the page says that a bid was taken. */
export async function expectIn(page: Page, minor: number): Promise<void> {
  await expect(page.getByTestId("action-message")).toContainText(dollars(minor));
  await expect(page.getByTestId("action-message")).toHaveAttribute("data-tone", "good");
}

/** Dollars as the house writes them. */
export function dollars(minor: number): string {
  const whole = Math.floor(minor / 100).toLocaleString("en-US");
  const cents = minor % 100;
  return cents === 0 ? `$${whole}` : `$${whole}.${String(cents).padStart(2, "0")}`;
}

/** A moment's time of day as the house writes it. */
export function timeOfDay(at: number): string {
  return new Date(at).toISOString().slice(11, 19);
}

/** Seconds in a countdown such as `12:09` or `1:02:09`. */
export function seconds(countdown: string): number {
  const parts = countdown.trim().split(":").map(Number);
  expect(parts.every(Number.isInteger), countdown).toBe(true);
  return parts.reduce((sum, part) => sum * 60 + part, 0);
}

/** The house as a test knows it: its lots, and people who act through plain requests. */
export class House {
  private readonly people = new Map<string, Person>();
  private readonly borrowed = new Set<string>();

  constructor(private readonly request: APIRequestContext) {}

  /** Somebody who acts by requests, in a browser apart from the test's pages. */
  async person(handle: string, region = "us-east-1"): Promise<Person> {
    const known = this.people.get(handle);
    if (known) {
      return known;
    }
    const person = await Person.stepIn(this.request, handle, region);
    this.people.set(handle, person);
    return person;
  }

  async floor(): Promise<FloorPage["floor"]> {
    return (await readPage<FloorPage>(this.request, "floor", {})).floor;
  }

  async room(lot: string): Promise<RoomPage["room"]> {
    return (await readRoom(this.request, lot, "", "")).room;
  }

  /** A live English lot without a reserve, with time left, and not too dear for the tests' people. */
  async english(leastSeconds = 60): Promise<LotOf<"english">> {
    return this.find("english", (one, now) => {
      const left = one.closes_at - now;
      const cheap = one.terms.next_minimum.minor < DEAR_MINOR;
      return one.terms.reserve === "none" && cheap && left > leastSeconds * 1_000;
    });
  }

  /** A live Dutch lot that goes on falling for a while. */
  async dutch(leastSteps = 15): Promise<LotOf<"dutch">> {
    const falls = (one: LotOf<"dutch">, now: number) => {
      const { schedule } = one.terms;
      return dutchPrice(one, now + leastSteps * schedule.tick_ms) > schedule.floor.minor;
    };
    const { live, server_time } = await this.floor();
    const all = live.filter((one) => isOf(one, "dutch"));
    if (!all.some((one) => falls(one, server_time))) {
      // All have come down: one that is taken makes room for the next.
      const cheapest = all.sort((a, b) => a.terms.schedule.floor.minor - b.terms.schedule.floor.minor)[0];
      const buyer = await this.person(LAST_BIDDER);
      await buyer.fund();
      await buyer.claim(cheapest.id, 1, cheapest.terms.schedule.start.minor);
    }
    return this.find("dutch", falls);
  }

  /** A live drop with units and time left. */
  async drop(leastSeconds = 40): Promise<LotOf<"drop">> {
    return this.find("drop", (one, now) => {
      return one.terms.units_left > 5 && one.closes_at - now > leastSeconds * 1_000;
    });
  }

  /** The live lot of a kind that a test may use, the one that lasts longest. */
  async find<M extends Mechanism>(
    mechanism: M,
    fits: (lot: LotOf<M>, now: number) => boolean,
  ): Promise<LotOf<M>> {
    let found: LotOf<M> | undefined;
    base.setTimeout(base.info().timeout + FIND_LIMIT_MS);
    await expect
      .poll(
        async () => {
          const { live, server_time } = await this.floor();
          const all = live.filter((lot) => isOf(lot, mechanism)).filter((lot) => fits(lot, server_time));
          found = all.sort((a, b) => b.closes_at - a.closes_at)[0];
          return found?.id;
        },
        { message: `a live ${mechanism} lot`, timeout: FIND_LIMIT_MS, intervals: [500] },
      )
      .toBeDefined();
    this.borrowed.add(found!.id);
    return found!;
  }

  /** Frees the money that the test's people have on lots that go on. */
  async leave(): Promise<void> {
    for (const id of this.borrowed) {
      const { lot } = await this.room(id);
      const leader = isOf(lot, "english") ? lot.terms.leader : null;
      if (lot.status === "open" && isOf(lot, "english") && leader && leader.who.handle !== LAST_BIDDER) {
        const last = await this.person(LAST_BIDDER);
        await last.fund();
        // The lot may end meanwhile; then its money is settled.
        await last.bid(id, lot.terms.next_minimum.minor);
      }
    }
    await this.request.dispose();
  }
}

export function isOf<M extends Mechanism>(lot: Lot, mechanism: M): lot is LotOf<M> {
  return lot.terms.mechanism === mechanism;
}

/** The schedule's price at a moment. */
export function dutchPrice(lot: LotOf<"dutch">, at: number): number {
  const { start, floor, step_minor, tick_ms } = lot.terms.schedule;
  const steps = Math.max(0, Math.floor((at - lot.opens_at) / tick_ms));
  return Math.max(floor.minor, start.minor - steps * step_minor);
}

/** Somebody of the demo, acting by requests with the cookies of one browser. */
export class Person {
  private constructor(
    private readonly request: APIRequestContext,
    readonly handle: string,
    readonly region: string,
  ) {}

  /** Steps in as somebody in a browser that has, or gets, its cookie. */
  static async stepIn(
    request: APIRequestContext,
    handle: string,
    region: string,
  ): Promise<Person> {
    const answer = await request.post("/api/step-in", {
      form: { handle, region, next: "/" },
      headers: { origin: serverUrl() },
      maxRedirects: 0,
    });
    expect(answer.status(), await answer.text()).toBe(303);
    return new Person(request, handle, region);
  }

  /** The address of a page for a tab that acts as this person. */
  at(path: string): string {
    return `${path}?as=${this.handle}&in=${this.region}`;
  }

  /** Tops up to what a test may need. */
  async fund(minor = FUNDS_MINOR): Promise<void> {
    const { available } = (await this.wallet()).wallet;
    if (available.minor < minor) {
      const answer = await this.topUp(((minor - available.minor) / 100).toFixed(2));
      expect(answer.status(), await answer.text()).toBe(200);
    }
  }

  async wallet(): Promise<WalletPage> {
    return readPage<WalletPage>(this.request, "wallet", { ...this.acting(), currency: "USD" });
  }

  async room(lot: string): Promise<RoomPage> {
    return readRoom(this.request, lot, this.handle, this.region);
  }

  /** Bids an amount in cents, or anything else as text. */
  async bid(lot: string, amount: number | string, key = freshKey()): Promise<APIResponse> {
    const text = typeof amount === "number" ? (amount / 100).toFixed(2) : amount;
    return this.send("bid", { lot, amount: text, currency: "USD", key });
  }

  /** Claims units at a highest price in cents. */
  async claim(
    lot: string,
    units: number | string,
    max: number | string,
    key = freshKey(),
  ): Promise<APIResponse> {
    const form = { lot, units: String(units), max_price: String(max), currency: "USD", key };
    return this.send("claim", form);
  }

  async topUp(amount: string, key = freshKey()): Promise<APIResponse> {
    return this.send("top-up", { amount, currency: "USD", key });
  }

  /** Sends a command with exactly these fields and who acts. */
  async send(
    command: string,
    form: Record<string, string>,
    headers: Record<string, string> = {},
  ): Promise<APIResponse> {
    return this.request.post(`/api/${command}`, {
      form: { ...form, ...this.acting() },
      headers: { origin: serverUrl(), ...headers },
      maxRedirects: 0,
    });
  }

  private acting(): { acting_as: string; acting_in: string } {
    return { acting_as: this.handle, acting_in: this.region };
  }
}

/** A page that no form has just led to. */
/** What a page may ask for; what it does not need is empty. */
const NOTHING_ASKED = {
  lot: "",
  currency: "",
  acting_as: "",
  acting_in: "",
  outcome: "",
  problem: "",
  retry: "",
  path: "",
  before: "",
};

/** Reads a page's data as the browser does when it follows a link: JSON, carried as text. */
async function readPage<T>(
  request: APIRequestContext,
  page: "floor" | "room" | "wallet",
  asked: Partial<typeof NOTHING_ASKED>,
): Promise<T> {
  const query = new URLSearchParams({ ...NOTHING_ASKED, ...asked });
  const answer = await request.get(`/api/page/${page}?${query}`);
  expect(answer.status(), await answer.text()).toBe(200);
  return JSON.parse((await answer.json()) as string) as T;
}

function readRoom(
  request: APIRequestContext,
  lot: string,
  acting_as: string,
  acting_in: string,
): Promise<RoomPage> {
  return readPage<RoomPage>(request, "room", { lot, acting_as, acting_in });
}

export function freshKey(): string {
  return `e2e-${randomUUID()}`;
}
