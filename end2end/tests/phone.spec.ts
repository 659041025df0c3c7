// The room on a phone: everything is within reach of a thumb.
import { expect, expectIn, openLive, Person, test } from "./lotzero.ts";

test.use({ viewport: { width: 360, height: 640 } });

test("a bid is placed without scrolling, and the rest is behind tabs", async ({
  page,
  context,
  house,
}) => {
  const lot = await house.english();
  const amara = await Person.stepIn(context.request, "amara", "eu-west-1");
  await amara.fund();
  await openLive(page, amara.at(`/lots/${lot.id}`));
  await expect(page.locator(".price-now data")).toBeInViewport({ ratio: 1 });
  await expect(page.getByTestId("bid-submit")).toBeInViewport({ ratio: 1 });
  const amount = lot.terms.next_minimum.minor;
  await page.getByTestId("bid-submit").click();
  await expectIn(page, amount);
  await expect(page.getByTestId("ladder-row").first()).toBeVisible();

  await expect(page.getByTestId("chat-input")).toBeHidden();
  await page.getByTestId("tab-chat").click();
  await expect(page.getByTestId("tab-chat")).toHaveAttribute("aria-pressed", "true");
  await expect(page.getByTestId("ladder-row").first()).toBeHidden();
  const text = `From a phone, ${Date.now()}`;
  await page.getByTestId("chat-input").fill(text);
  await page.getByTestId("chat-send").click();
  await expect(page.getByTestId("chat-message").filter({ hasText: text })).toHaveAttribute("data-sent", "kept");
});

test("controls are large enough for a thumb", async ({ page, context, house }) => {
  const lots = [await house.english(), await house.drop()];
  const amara = await Person.stepIn(context.request, "amara", "eu-west-1");
  for (const path of [...lots.map((lot) => `/lots/${lot.id}`), "/wallet"]) {
    await openLive(page, amara.at(path));
    const controls = page.locator("main button, main input:not([type=hidden]), .strip select, .strip summary");
    const small = await controls.evaluateAll((all) =>
      all
        .map((one) => ({ name: one.outerHTML.slice(0, 120), box: one.getBoundingClientRect() }))
        .filter(({ box }) => box.width > 0 && (box.width < 44 || box.height < 44))
        .map(({ name, box }) => `${Math.round(box.width)} × ${Math.round(box.height)}: ${name}`),
    );
    expect.soft(small, path).toEqual([]);
  }
});

test("the amounts of the statement are in sight, without scrolling sideways", async ({
  page,
  context,
  house,
}) => {
  const lot = await house.english();
  const amara = await Person.stepIn(context.request, "amara", "eu-west-1");
  await amara.fund();
  const bid = await amara.bid(lot.id, lot.terms.next_minimum.minor);
  expect(bid.status(), await bid.text()).toBe(200);
  await openLive(page, amara.at("/wallet"));
  const amounts = page.getByTestId("statement-row").locator(".amount");
  await expect(amounts.first()).toBeVisible();
  const hidden = await amounts.evaluateAll((all) =>
    all.filter((one) => {
      const edge = one.closest(".scrolls")!.getBoundingClientRect().right;
      return one.getBoundingClientRect().right > edge + 0.5;
    }).length,
  );
  expect(hidden).toBe(0);
});
