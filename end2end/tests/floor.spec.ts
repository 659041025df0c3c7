// The floor: what is shown, and that it moves by itself without asking.
import type { Request } from "@playwright/test";
import { expect, expectNoReload, mark, minorOf, openLive, Person, test } from "./lotzero.ts";

test("the floor shows its name and lots of all three kinds", async ({ page }) => {
  await openLive(page, "/");
  await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
  for (const mechanism of ["english", "dutch", "drop"]) {
    const card = page.locator(`[data-testid=lot-card][data-mechanism=${mechanism}]`).first();
    await expect(card).toBeVisible();
    expect(await minorOf(card.getByTestId("price"))).toBeGreaterThan(0);
    await expect(card.getByTestId("countdown").first()).toHaveText(/^\d+:\d\d/);
  }
});

test("a falling price falls on the page without a question to the server", async ({ page, house }) => {
  const lot = await house.dutch();
  await openLive(page, "/");
  await mark(page);
  const asked: string[] = [];
  const ask = (request: Request) => {
    if (["fetch", "xhr", "document", "eventsource"].includes(request.resourceType())) {
      asked.push(request.url());
    }
  };
  page.on("request", ask);

  const price = page.locator(`[data-lot=${lot.id}]`).getByTestId("price");
  const start = Date.now();
  let last = await minorOf(price);
  for (let fall = 0; fall < 3; fall += 1) {
    await expect.poll(() => minorOf(price)).toBeLessThan(last);
    last = await minorOf(price);
  }
  // The price falls every two seconds; a poll with a longer pause than that is waited for too.
  await expect.poll(() => Date.now() - start, { timeout: 15_000 }).toBeGreaterThan(6_000);
  page.off("request", ask);
  expect(asked).toEqual([]);
  await expectNoReload(page);
});

test("a bid shows on the floor at once: price, leader and activity", async ({ page, house }) => {
  const lot = await house.english();
  const kenji = await house.person("kenji", "ap-northeast-1");
  await kenji.fund();
  await openLive(page, "/");
  await mark(page);

  const answer = await kenji.bid(lot.id, lot.terms.next_minimum.minor);
  expect(answer.status(), await answer.text()).toBe(200);

  const newest = page.getByTestId("activity-line").first();
  await expect(newest).toContainText("Kenji Watanabe bid");
  await expect(newest).toContainText("Tokyo");
  await expect(newest).toContainText(lot.title);
  const card = page.locator(`[data-testid=lot-card][data-lot=${lot.id}]`);
  await expect(card.getByTestId("price")).toHaveAttribute(
    "value",
    String(lot.terms.next_minimum.minor),
  );
  await expect(card).toContainText("Kenji Watanabe leads");
  await expectNoReload(page);
});

test("every link keeps who acts and where", async ({ page, context }) => {
  const amara = await Person.stepIn(context.request, "amara", "ap-northeast-1");
  await openLive(page, amara.at("/"));
  await expect(page.getByTestId("who")).toContainText("Amara Okafor");
  const lost = await page.locator('a[href^="/"]').evaluateAll((links) =>
    links
      .map((link) => link.getAttribute("href") ?? "")
      .filter((href) => {
        const query = new URL(href, "http://x").searchParams;
        return query.get("as") !== "amara" || query.get("in") !== "ap-northeast-1";
      }),
  );
  expect(lost).toEqual([]);

  await page.getByTestId("lot-card").first().getByRole("link").click();
  await expect(page).toHaveURL(/\/lots\/lot_[0-9a-f]+\?as=amara&in=ap-northeast-1$/);
  await expect(page.getByTestId("who")).toContainText("Amara Okafor");
  await page.getByRole("link", { name: "Wallet", exact: true }).click();
  await expect(page).toHaveURL(/\/wallet\?as=amara&in=ap-northeast-1$/);
  await expect(page.getByTestId("topup-form")).toBeVisible();
});
