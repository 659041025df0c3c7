// The countdown is the server's, whatever the visitor's own clock says.
import type { Page } from "@playwright/test";
import { expect, openLive, seconds, test, watch } from "./lotzero.ts";

const MINUTE_MS = 60_000;

/** Runs in the page: its clock is wrong by so much. */
function skew(by: number): void {
  const Real = Date;
  class Skewed extends Real {
    constructor(...given: unknown[]) {
      if (given.length === 0) {
        super(Real.now() + by);
      } else {
        super(...(given as [number]));
      }
    }

    static override now(): number {
      return Real.now() + by;
    }
  }
  Reflect.set(window, "Date", Skewed);
}

test("a wrong clock changes no countdown", async ({ page, browser, house, complaints }) => {
  const lot = await house.english(75);
  const pages: [number, Page][] = [[0, page]];
  for (const by of [60 * MINUTE_MS, -5 * MINUTE_MS]) {
    const context = await browser.newContext({ baseURL: test.info().project.use.baseURL });
    await watch(context, complaints);
    await context.addInitScript(skew, by);
    pages.push([by, await context.newPage()]);
  }
  for (const [by, one] of pages) {
    await openLive(one, `${process.env.LOTZERO_URL}/lots/${lot.id}`);
    const off = (await one.evaluate(() => Date.now())) - Date.now();
    expect(Math.abs(off - by), "the page's clock is as wrong as it should be").toBeLessThan(2_000);
  }

  // The first pong replaces the guess of the page's own load.
  const left = (one: Page) => one.locator(".timing").getByTestId("countdown");
  for (let round = 0; round < 3; round += 1) {
    const before = await left(page).textContent();
    await expect(left(page)).not.toHaveText(before ?? "");
    const shown = await Promise.all(pages.map(([, one]) => left(one).textContent()));
    const truth = (lot.closes_at - Date.now()) / 1_000;
    const all = shown.map((text) => seconds(text ?? ""));
    for (const one of all) {
      expect(Math.abs(one - all[0]), `${all}`).toBeLessThanOrEqual(1);
      expect(Math.abs(one - truth), `${all}, really ${truth}`).toBeLessThan(1.5);
    }
  }
  for (const [, one] of pages.slice(1)) {
    await one.context().close();
  }
});

test("a wrong clock does not move a falling price", async ({ page, house, context }) => {
  const lot = await house.dutch();
  await context.addInitScript(skew, 60 * MINUTE_MS);
  await openLive(page, `/lots/${lot.id}`);
  const { start, floor, step_minor, tick_ms } = lot.terms.schedule;
  const expected = () => {
    const steps = Math.floor((Date.now() - lot.opens_at) / tick_ms);
    return Math.max(floor.minor, start.minor - steps * step_minor);
  };
  const price = page.locator(".price-now data");
  await expect
    .poll(async () => Math.abs(Number(await price.getAttribute("value")) - expected()))
    .toBeLessThanOrEqual(step_minor);
  expect(Number(await price.getAttribute("value"))).toBeGreaterThan(floor.minor);
});
