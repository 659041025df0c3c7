// Everything that moves money works as plain forms.
import { dollars, expect, expectIn, minorOf, moneyOf, Person, test } from "./lotzero.ts";

test.use({ javaScriptEnabled: false });

test("stepping in and choosing a Region are plain forms", async ({ page, house }) => {
  const lot = await house.english();
  await page.goto(`/lots/${lot.id}`);
  await expect(page.getByTestId("guest-note")).toBeVisible();
  await page.getByTestId("who").click();
  await page.getByTestId("step-in-kenji").click();
  await expect(page).toHaveURL(new RegExp(`/lots/${lot.id}\\?as=kenji&in=`));
  await expect(page.getByTestId("who")).toContainText("Kenji Watanabe");
  await page.getByTestId("region").selectOption("ap-northeast-2");
  await page.getByRole("button", { name: "Go" }).click();
  await expect(page).toHaveURL(new RegExp(`/lots/${lot.id}\\?as=kenji&in=ap-northeast-2$`));
  await expect(page.getByTestId("region")).toHaveValue("ap-northeast-2");
  await expect(page.getByTestId("who")).toContainText("Kenji Watanabe");
});

test("a bid is placed once, refusals are said, and a reload repeats nothing", async ({
  page,
  context,
  house,
}) => {
  const lot = await house.english();
  const kenji = await Person.stepIn(context.request, "kenji", "ap-northeast-1");
  await kenji.fund();
  await page.goto(kenji.at(`/lots/${lot.id}`));
  const amount = lot.terms.next_minimum.minor;
  await expect(page.getByTestId("bid-amount")).toHaveValue(/^\d+(\.\d\d)?$/);
  await page.getByTestId("bid-submit").click();
  await expectIn(page, amount);
  await expect(page).toHaveURL(/as=kenji&in=ap-northeast-1&outcome=/);
  await expect(page.getByTestId("ladder-row").first()).toContainText("Tokyo");

  await page.reload();
  await expectIn(page, amount);
  // The ladder shows only the latest, so bids are told apart and not counted.
  const bids = async () =>
    (await house.room(lot.id)).ladder.filter((line) => line.who.handle === "kenji").map((line) => line.id);
  const [first] = await bids();
  await page.getByTestId("bid-amount").fill("1");
  await page.getByTestId("bid-submit").click();
  await expect(page.getByTestId("action-message")).toContainText("The next valid bid is $");
  await expect(page.getByTestId("action-message")).toHaveAttribute("data-tone", "bad");
  await page.getByTestId("bid-amount").fill("-20");
  await page.getByTestId("bid-submit").click();
  await expect(page.getByTestId("action-message")).toContainText("That is not an amount.");
  expect((await bids())[0]).toBe(first);

  await page.getByTestId("quick-bid").first().click();
  await expect(page.getByTestId("action-message")).toHaveAttribute("data-tone", "good");
  expect((await bids()).indexOf(first), "one more bid, and only one").toBe(1);
});

test("a falling price is claimed at most at the price on the page", async ({ page, context, house }) => {
  const lot = await house.dutch();
  const kenji = await Person.stepIn(context.request, "kenji", "ap-northeast-1");
  await kenji.fund();
  await page.goto(kenji.at(`/lots/${lot.id}`));
  const shown = await minorOf(page.locator(".price-now data"));
  await page.getByTestId("claim-submit").click();
  await expect(page.getByTestId("outcome")).toHaveAttribute("data-outcome", "won");
  const paid = await minorOf(page.locator(".price-now data"));
  expect(paid).toBeLessThanOrEqual(shown);
  await expect(page.getByTestId("action-message")).toHaveText(`It is yours for ${dollars(paid)}.`);
});

test("units of a drop are claimed, and a wrong number is said", async ({ page, context, house }) => {
  const lot = await house.drop();
  // The two widths act as two people: a person may have two units only.
  const handle = test.info().project.name === "phone" ? "amara" : "kenji";
  const buyer = await Person.stepIn(context.request, handle, "ap-northeast-1");
  await buyer.fund();
  await page.goto(buyer.at(`/lots/${lot.id}`));
  await page.getByTestId("claim-units").fill("2");
  await page.getByTestId("claim-submit").click();
  await expect(page.getByTestId("action-message")).toHaveText(
    `2 units are yours for ${dollars(2 * lot.terms.price.minor)}.`,
  );
  await page.getByTestId("claim-submit").click();
  await expect(page.getByTestId("action-message")).toHaveText("One buyer may have 2; you have 2.");
  await page.getByTestId("claim-units").fill("0");
  await page.getByTestId("claim-submit").click();
  await expect(page.getByTestId("action-message")).toContainText("whole number");
});

test("a top-up comes in, and too much is refused", async ({ page, context }) => {
  const kenji = await Person.stepIn(context.request, "kenji", "ap-northeast-1");
  await page.goto(kenji.at("/wallet"));
  const before = await minorOf(moneyOf(page, "available"));
  await page.getByTestId("topup-amount").fill("250");
  await page.getByTestId("topup-submit").click();
  await expect(page.getByTestId("action-message")).toHaveText("$250 came in.");
  await expect(moneyOf(page, "available")).toHaveAttribute("value", String(before + 25_000));
  await page.getByTestId("topup-amount").fill("1000000");
  await page.getByTestId("topup-submit").click();
  await expect(page.getByTestId("action-message")).toContainText("A demo wallet can take $");
  await expect(moneyOf(page, "available")).toHaveAttribute("value", String(before + 25_000));
});

test("the theme that was chosen is painted by the server", async ({ page, context, baseURL }) => {
  const paper = () =>
    page.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
  await page.goto("/");
  await expect(page.locator("html")).toHaveAttribute("data-theme", "system");
  // The switch needs scripts: a control that does nothing is not offered.
  await expect(page.getByTestId("theme-dark")).toBeHidden();
  for (const theme of ["dark", "light"]) {
    await context.addCookies([{ name: "lotzero_theme", value: theme, url: baseURL! }]);
    await page.goto("/");
    await expect(page.locator("html")).toHaveAttribute("data-theme", theme);
    expect(await paper()).toBe(theme);
  }
});
