// The end of an English lot: the soft close, the winner, and the money. Takes minutes, so it is the
// last file, and its lot is the one that ends next.
import { dollars, expect, expectIn, expectNoReload, isOf, mark, minorOf, openLive, Person, seconds, test, timeOfDay } from "./lotzero.ts";

test("the last bid wins, its hold is paid, and the loser's is free", async ({ context, house }) => {
  // No lot lasts longer than eight minutes, and the one that ends next usually much less.
  test.setTimeout(9 * 60_000);
  const amara = await Person.stepIn(context.request, "amara", "eu-west-1");
  const kenji = await Person.stepIn(context.request, "kenji", "ap-northeast-1");
  for (const person of [amara, kenji]) {
    await person.fund();
  }
  const lot = (await house.floor()).live
    .filter((one) => isOf(one, "english"))
    // Time for three pages and a bid before it ends.
    .filter((one) => one.closes_at - Date.now() > 45_000)
    .sort((a, b) => a.closes_at - b.closes_at)[0];
  const [winner, loser, floor] = [await context.newPage(), await context.newPage(), await context.newPage()];
  await openLive(winner, amara.at(`/lots/${lot.id}`));
  await openLive(loser, kenji.at(`/lots/${lot.id}`));
  await openLive(floor, amara.at("/"));
  for (const page of [winner, loser, floor]) {
    await mark(page);
  }
  const wallets = async () => ({
    amara: (await amara.wallet()).wallet,
    kenji: (await kenji.wallet()).wallet,
  });
  const before = await wallets();
  const next = async () => {
    const now = (await house.room(lot.id)).lot;
    return isOf(now, "english") ? now.terms.next_minimum.minor : 0;
  };

  // Twice the least bid reaches any reserve of the demo.
  const opening = 2 * (await next());
  await winner.getByTestId("bid-amount").fill((opening / 100).toFixed(2));
  await winner.getByTestId("bid-submit").click();
  await expectIn(winner, opening);

  await test.step("a bid near the end moves it", async () => {
    const left = async (page: typeof winner) =>
      seconds((await page.locator(".timing").getByTestId("countdown").textContent()) ?? "");
    await expect.poll(() => left(winner), { timeout: 8 * 60_000, intervals: [250] }).toBeLessThan(15);
    const end = (await house.room(lot.id)).lot.closes_at;
    await loser.getByTestId("bid-submit").click();
    await expect(loser.getByTestId("standing")).toHaveAttribute("data-tone", "good");
    const moved = (await house.room(lot.id)).lot.closes_at;
    expect(moved).toBeGreaterThan(end);
    for (const page of [winner, loser]) {
      await expect(page.locator(".timing-at")).toContainText(`at ${timeOfDay(moved)} UTC`);
    }
  });

  const paid = await next();
  await winner.getByTestId("quick-bid").first().click();
  await expect(winner.getByTestId("standing")).toHaveAttribute("data-tone", "good");
  const final = await minorOf(winner.locator(".price-now data"));
  expect(final).toBeGreaterThanOrEqual(paid);

  const sentence = (who: string) => `Sold to ${who}, Ireland, ${dollars(final)}.`;
  await expect(winner.getByTestId("outcome")).toHaveAttribute("data-outcome", "won", { timeout: 40_000 });
  await expect(winner.getByTestId("outcome")).toContainText(sentence("you"));
  await expect(winner.getByTestId("outcome")).toContainText(`${dollars(final)} was paid from your wallet.`);
  await expect(loser.getByTestId("outcome")).toContainText(sentence("Amara Okafor"));
  await expect(loser.getByTestId("outcome")).toContainText("Nothing was taken from your wallet.");
  await expect(winner.getByTestId("notice").filter({ hasText: "is yours for" })).toContainText(lot.title);
  await expect(floor.locator(`[data-testid=settled-lot][data-lot=${lot.id}]`)).toContainText(sentence("you"));
  await expect(floor.locator(`[data-testid=lot-card][data-lot=${lot.id}]`)).toHaveCount(0);
  for (const page of [winner, loser, floor]) {
    await expectNoReload(page);
  }

  const after = await wallets();
  expect(after.amara.spent.minor - before.amara.spent.minor).toBe(final);
  expect(before.amara.available.minor - after.amara.available.minor).toBe(final);
  expect(after.amara.held).toEqual(before.amara.held);
  expect(after.kenji.available).toEqual(before.kenji.available);
  expect(after.kenji.held).toEqual(before.kenji.held);
  const late = await kenji.bid(lot.id, final + 100_00);
  expect(late.status()).toBe(409);
  expect(await late.json()).toMatchObject({ code: "ended" });
  const { holds, statement } = await amara.wallet();
  expect(holds).not.toContain(lot.id);
  const captures = statement.split("<tr").filter((row) => row.includes(lot.id) && row.includes('data-kind="capture"'));
  expect(captures, "the winner's statement says that the lot was paid").toContainEqual(
    expect.stringContaining(`"${-final}"`),
  );
});
