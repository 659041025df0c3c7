// A falling price: the first claim takes the lot, at most at the price it saw.
import {
  dollars,
  dutchPrice,
  expect,
  expectNoReload,
  mark,
  minorOf,
  openLive,
  Person,
  priceOf,
  test,
} from "./lotzero.ts";
import type { Answer } from "./types.ts";

test("a claim takes the lot for at most the price shown, and everybody sees it", async ({
  context,
  house,
}) => {
  const lot = await house.dutch();
  const diego = await Person.stepIn(context.request, "diego", "us-west-2");
  const lena = await Person.stepIn(context.request, "lena", "eu-central-1");
  await diego.fund();
  await lena.fund();
  const [buyer, loser, floor] = await Promise.all([
    context.newPage(),
    context.newPage(),
    context.newPage(),
  ]);
  await openLive(buyer, diego.at(`/lots/${lot.id}`));
  await openLive(loser, lena.at(`/lots/${lot.id}`));
  await openLive(floor, lena.at("/"));
  await expect(floor.locator(`[data-testid=lot-card][data-lot=${lot.id}]`)).toBeVisible();
  for (const page of [buyer, loser, floor]) {
    await mark(page);
  }

  const before = (await diego.wallet()).wallet;
  const shown = await minorOf(priceOf(buyer));
  await buyer.getByTestId("claim-submit").click();
  await expect(buyer.getByTestId("outcome")).toHaveAttribute("data-outcome", "won");
  const charged = await minorOf(priceOf(buyer));
  expect(charged).toBeLessThanOrEqual(shown);
  expect(charged).toBeGreaterThanOrEqual(lot.terms.schedule.floor.minor);
  await expect(buyer.getByTestId("action-message")).toHaveText(`It is yours for ${dollars(charged)}.`);

  await expect(loser.getByTestId("outcome")).toContainText(
    `Sold to Diego Fuentes, Oregon, ${dollars(charged)}.`,
  );
  await expect(loser.getByTestId("claim-submit")).toHaveCount(0);
  await expect(loser.getByTestId("ladder-row").first()).toContainText("Diego Fuentes");
  await expect(floor.locator(`[data-testid=lot-card][data-lot=${lot.id}]`)).toHaveCount(0);
  await expect(floor.locator(`[data-testid=settled-lot][data-lot=${lot.id}]`)).toContainText(
    `Sold to Diego Fuentes, Oregon, ${dollars(charged)}.`,
  );
  for (const page of [buyer, loser, floor]) {
    await expectNoReload(page);
  }

  const after = (await diego.wallet()).wallet;
  expect(before.available.minor - after.available.minor).toBe(charged);
  expect(after.spent.minor - before.spent.minor).toBe(charged);
  const late = await lena.claim(lot.id, 1, shown);
  expect(late.status()).toBe(409);
  expect(await late.json()).toMatchObject({ not_done: "refused", code: "ended" });
});

test("a late click is charged the price of its moment, not the one it agreed to", async ({
  house,
}) => {
  const lot = await house.dutch();
  const diego = await house.person("diego", "us-west-2");
  await diego.fund();
  const { start } = lot.terms.schedule;
  // The price has fallen at least once, so the two differ.
  await expect
    .poll(async () => dutchPrice(lot, (await house.room(lot.id)).server_time), { timeout: 10_000 })
    .toBeLessThan(start.minor);
  const answer = await diego.claim(lot.id, 1, start.minor);
  expect(answer.status(), await answer.text()).toBe(200);
  const { line, total } = (await answer.json()) as Answer;
  expect(line!.amount.minor).toBe(dutchPrice(lot, line!.at));
  expect(line!.amount.minor).toBeLessThan(start.minor);
  expect(total).toEqual(line!.amount);
});

test("only prices of the schedule appear, each lower than the last", async ({ page, house }) => {
  const lot = await house.dutch();
  await openLive(page, `/lots/${lot.id}`);
  const { start, step_minor } = lot.terms.schedule;
  const prices = [await minorOf(priceOf(page))];
  for (let fall = 0; fall < 3; fall += 1) {
    await expect.poll(() => minorOf(priceOf(page))).not.toBe(prices.at(-1));
    prices.push(await minorOf(priceOf(page)));
  }
  for (const [place, price] of prices.entries()) {
    expect((start.minor - price) % step_minor, `${prices}`).toBe(0);
    // A look may come late and miss a step.
    expect(place === 0 || price < prices[place - 1], `${prices}`).toBe(true);
  }
  const { server_time } = await house.room(lot.id);
  const now = dutchPrice(lot, server_time);
  expect(Math.abs((await minorOf(priceOf(page))) - now)).toBeLessThanOrEqual(step_minor);
});
