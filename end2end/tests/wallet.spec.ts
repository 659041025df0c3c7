// The wallet: top-ups, the statement, and holds that follow the bids.
import { dollars, expect, expectNoReload, mark, minorOf, moneyOf, openLive, Person, test } from "./lotzero.ts";

test("a top-up comes in and stands in the statement", async ({ page, context }) => {
  const lena = await Person.stepIn(context.request, "lena", "eu-central-1");
  await openLive(page, lena.at("/wallet"));
  await mark(page);
  const before = await minorOf(moneyOf(page, "available"));
  await page.getByTestId("topup-amount").fill("1,234.50");
  await page.getByTestId("topup-submit").click();
  await expect(page.getByTestId("action-message")).toHaveText("$1,234.50 came in.");
  await expect(moneyOf(page, "available")).toHaveAttribute("value", String(before + 123_450));
  const row = page.getByTestId("statement-row").first();
  await expect(row).toHaveAttribute("data-kind", "top_up");
  await expect(row.locator("data")).toHaveAttribute("value", "123450");
  await expectNoReload(page);
});

test("a top-up beyond the bound, or of no amount, is refused in words", async ({ page, context }) => {
  const lena = await Person.stepIn(context.request, "lena", "eu-central-1");
  await openLive(page, lena.at("/wallet"));
  const before = await lena.wallet();
  const most = 10_000_000 - before.wallet.available.minor;
  for (const [amount, said] of [
    ["1000000", `A demo wallet can take ${dollars(most)} more.`],
    ["-5", "That is not an amount. Write it like 1250 or 1,250.50, without signs."],
    ["0", "That is not an amount. Write it like 1250 or 1,250.50, without signs."],
    ["0.001", "That is not an amount. Write it like 1250 or 1,250.50, without signs."],
    ["ten", "That is not an amount. Write it like 1250 or 1,250.50, without signs."],
  ]) {
    await page.getByTestId("topup-amount").fill(amount);
    await page.getByTestId("topup-submit").click();
    await expect(page.getByTestId("action-message")).toHaveText(said);
    await expect(page.getByTestId("action-message")).toHaveAttribute("data-tone", "bad");
  }
  const after = await lena.wallet();
  expect(after.wallet).toEqual(before.wallet);
  expect(after.statement).toEqual(before.statement);
});

test("a hold comes with the bid, leads to its lot, and goes when it is outbid", async ({
  page,
  context,
  house,
}) => {
  const lot = await house.english();
  const lena = await Person.stepIn(context.request, "lena", "eu-central-1");
  const kenji = await house.person("kenji", "ap-northeast-1");
  await lena.fund();
  await kenji.fund();
  await openLive(page, lena.at("/wallet"));
  await mark(page);
  const amount = lot.terms.next_minimum.minor;
  expect((await lena.bid(lot.id, amount)).status()).toBe(200);

  const hold = page.getByTestId("hold-row").filter({ hasText: lot.title });
  await expect(hold.locator("data")).toHaveAttribute("value", String(amount));
  await expect(hold.getByRole("link")).toHaveAttribute(
    "href",
    `/lots/${lot.id}?as=lena&in=eu-central-1`,
  );
  await expect(page.getByTestId("statement-row").first()).toHaveAttribute("data-kind", "hold");

  expect((await kenji.bid(lot.id, amount + 50_00)).status()).toBe(200);
  await expect(hold).toHaveCount(0);
  await expect(page.getByTestId("statement-row").first()).toHaveAttribute("data-kind", "void");
  const notice = page.getByTestId("notice").first();
  await expect(notice).toContainText("You were outbid");
  await expectNoReload(page);
  await notice.getByRole("link").click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(lot.title);
});

test("a guest has no wallet and is told what to do", async ({ page }) => {
  await openLive(page, "/wallet");
  await expect(page.getByTestId("guest-note")).toContainText("Choose who you are");
  await expect(page.getByTestId("topup-form")).toHaveCount(0);
  await expect(page.getByTestId("statement-row")).toHaveCount(0);
});
