// What a machine can check of accessibility, on every page, in both themes and at both widths.
import { AxeBuilder } from "@axe-core/playwright";
import { expect, expectFits, expectIn, openLive, Person, test } from "./lotzero.ts";

const THEMES = ["light", "dark"] as const;
const PAGES = [
  "floor",
  "english room",
  "dutch room",
  "drop room",
  "wallet",
  "about",
  "activity",
  "moderation",
  "not found",
] as const;

test.describe("in stillness", () => {
  test.use({ expected: [/status of 404/], contextOptions: { reducedMotion: "reduce" } });

  for (const name of PAGES) {
    test(`the ${name} page has no accessibility violations and fits its width`, async ({
      page,
      context,
      house,
    }) => {
      const amara = await Person.stepIn(context.request, "amara", "eu-west-1");
      const paths: Record<(typeof PAGES)[number], () => Promise<string>> = {
        floor: async () => "/",
        "english room": async () => {
          const lot = await house.english();
          await amara.fund();
          expect((await amara.bid(lot.id, lot.terms.next_minimum.minor)).status()).toBe(200);
          return `/lots/${lot.id}`;
        },
        "dutch room": async () => `/lots/${(await house.dutch()).id}`,
        "drop room": async () => `/lots/${(await house.drop()).id}`,
        wallet: async () => "/wallet",
        about: async () => "/about",
        activity: async () => "/activity",
        moderation: async () => {
          const lot = await house.english();
          const seller = await Person.stepIn(context.request, lot.seller.handle, "eu-west-1");
          return seller.at(`/lots/${lot.id}/moderation`);
        },
        "not found": async () => "/nothing-here",
      };
      const path = await paths[name]();
      await openLive(page, path.includes("?") ? path : amara.at(path));
      await expectFits(page);
      for (const theme of THEMES) {
        await page.evaluate((word) => (document.documentElement.dataset.theme = word), theme);
        const { violations } = await new AxeBuilder({ page }).analyze();
        const found = violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
        expect.soft(found, `${name}, ${theme}`).toEqual([]);
      }
    });
  }

  test("guests and old lots are accessible too", async ({ page, house }) => {
    const lot = await house.dutch();
    await openLive(page, `/lots/${lot.id}`);
    const buyer = await house.person("diego");
    await buyer.fund();
    expect((await buyer.claim(lot.id, 1, lot.terms.schedule.start.minor)).status()).toBe(200);
    await expect(page.getByTestId("outcome")).toBeVisible();
    const { violations } = await new AxeBuilder({ page }).analyze();
    const found = violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
    expect(found).toEqual([]);
  });

  test("nothing is lost at 320 pixels", async ({ page, house }) => {
    const lots = [await house.english(), await house.dutch(), await house.drop()];
    await page.setViewportSize({ width: 320, height: 640 });
    for (const path of ["/", "/wallet", "/about", "/activity", ...lots.map((lot) => `/lots/${lot.id}`)]) {
      await page.goto(path);
      await expectFits(page);
    }
  });
});

test("two regions speak for the whole page, and say nothing at load", async ({
  page,
  context,
  house,
}) => {
  const lot = await house.english();
  const html = await (await context.request.get(`/lots/${lot.id}`)).text();
  for (const tone of ["polite", "assertive"]) {
    const region = new RegExp(`<div[^>]*aria-live="${tone}"[^>]*>(\\s|<!--.*?-->|<!>)*</div>`);
    expect(region.test(html), `an empty ${tone} region in the first HTML`).toBe(true);
  }
  await openLive(page, `/lots/${lot.id}`);
  const speaking = page.locator("[aria-live=polite], [aria-live=assertive], [role=alert], [role=status]");
  await expect(speaking).toHaveCount(2);
  for (const region of await speaking.all()) {
    await expect(region).toHaveText("");
    await expect(region).toHaveAttribute("aria-atomic", "true");
  }
  // What others do is said in one sentence.
  const kenji = await house.person("kenji", "ap-northeast-1");
  await kenji.fund();
  expect((await kenji.bid(lot.id, lot.terms.next_minimum.minor)).status()).toBe(200);
  await expect(page.getByTestId("say-polite")).toContainText("Kenji Watanabe leads at $");
});

test("a bid needs no more than the keyboard", async ({ page, context, house }) => {
  const lot = await house.english();
  const amara = await Person.stepIn(context.request, "amara", "eu-west-1");
  await amara.fund();
  await openLive(page, amara.at(`/lots/${lot.id}`));

  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the page" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.locator("#main")).toBeFocused();
  await tabTo(page, "bid-amount");
  await expectVisibleFocus(page);
  await page.keyboard.press("Enter");
  const first = lot.terms.next_minimum.minor;
  await expectIn(page, first);
  await expect(page.getByTestId("bid-amount"), "the focus stays").toBeFocused();

  // And by the button, with an amount of one's own.
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type(((first + 60_00) / 100).toFixed(2));
  await tabTo(page, "bid-submit");
  await expectVisibleFocus(page);
  await page.keyboard.press("Enter");
  await expectIn(page, first + 60_00);
  await expect(page.getByTestId("bid-submit"), "the focus stays").toBeFocused();
  await expect(page.getByTestId("bid-submit")).toBeEnabled();
});

/** Presses Tab until a control has the focus. */
async function tabTo(page: Page, testid: string): Promise<void> {
  const focused = () =>
    page.evaluate(() => document.activeElement?.getAttribute("data-testid") ?? "");
  for (let presses = 0; presses < 30 && (await focused()) !== testid; presses += 1) {
    await page.keyboard.press("Tab");
  }
  await expect(page.getByTestId(testid)).toBeFocused();
}

async function expectVisibleFocus(page: Page): Promise<void> {
  const ring = await page.evaluate(() => {
    const style = getComputedStyle(document.activeElement!);
    return { line: style.outlineStyle, width: Number.parseFloat(style.outlineWidth), shadow: style.boxShadow };
  });
  expect(ring.shadow !== "none" || (ring.line !== "none" && ring.width >= 1), JSON.stringify(ring)).toBe(true);
}

test("a price moves its figure only for those who want motion", async ({ page, house }) => {
  const lot = await house.dutch(30);
  const moving = () =>
    page.evaluate(() => {
      const running = document.getAnimations().filter((one) => one.playState === "running");
      return running.filter((one) => Number(one.effect?.getComputedTiming().duration) > 1).length;
    });
  await openLive(page, `/lots/${lot.id}`);
  const price = page.locator(".price-now data");
  await expect.poll(moving, { intervals: [50] }).toBeGreaterThan(0);

  await page.emulateMedia({ reducedMotion: "reduce" });
  await openLive(page, `/lots/${lot.id}`);
  const before = await price.getAttribute("value");
  let most = 0;
  await expect
    .poll(
      async () => {
        most = Math.max(most, await moving());
        return price.getAttribute("value");
      },
      { intervals: [20] },
    )
    .not.toBe(before);
  for (let looks = 0; looks < 10; looks += 1) {
    most = Math.max(most, await moving());
  }
  expect(most).toBe(0);
});
