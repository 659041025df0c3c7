// A lost connection: said, no money moves on old prices, and what was missed is caught up.
import { expect, expectNoReload, mark, open, openLive, Person, priceOf, test } from "./lotzero.ts";
import { Wire } from "./wire.ts";

/** How long a page may take to come back by itself: its longest pause is 20 s. */
const RETURN_LIMIT_MS = 25_000;

test("a cut is said, money waits, and the return brings what was missed", async ({
  page,
  context,
  house,
}) => {
  const lot = await house.english(90);
  const amara = await Person.stepIn(context.request, "amara", "eu-west-1");
  const others = [await house.person("kenji", "ap-northeast-1"), await house.person("diego", "us-west-2")];
  for (const person of [amara, ...others]) {
    await person.fund();
  }
  const wire = await Wire.of(page);
  await openLive(page, amara.at(`/lots/${lot.id}`));
  await mark(page);
  const known = lot.terms.next_minimum.minor;
  expect((await others[0].bid(lot.id, known)).status()).toBe(200);
  await expect(priceOf(page)).toHaveAttribute("value", String(known));
  const banner = page.getByTestId("stale-banner");
  await expect(banner).toHaveCount(0);
  await expect(page.getByTestId("bid-submit")).toBeEnabled();
  await expect(page.locator(".last-known")).toBeHidden();

  const cutAt = Date.now();
  await wire.cut();
  await expect(banner).toBeVisible();
  expect(Date.now() - cutAt, "a short drop is not shown").toBeGreaterThanOrEqual(1_900);
  await expect(page.getByTestId("connection")).toHaveAttribute("data-state", "stale");
  await expect(page.locator(".last-known")).toBeVisible();
  await expect(page.getByTestId("bid-submit")).toBeDisabled();
  for (const quick of await page.getByTestId("quick-bid").all()) {
    await expect(quick).toBeDisabled();
  }
  await expect(page.getByTestId("chat-send")).toBeDisabled();

  // Others go on meanwhile.
  let amount = known;
  for (const bidder of [others[1], others[0], others[1]]) {
    amount += 50_00;
    expect((await bidder.bid(lot.id, amount)).status()).toBe(200);
  }
  await expect(priceOf(page)).toHaveAttribute("value", String(known));

  // A try that is far off is brought forward by the button.
  await expect(banner).toContainText(/Next try in ([4-9]|1\d|20) s/, { timeout: 60_000 });
  const attempts = wire.attempts;
  await page.getByRole("button", { name: "Retry now" }).click();
  await expect.poll(() => wire.attempts, { timeout: 3_000 }).toBeGreaterThan(attempts);
  wire.mend();
  await expect(page.getByTestId("connection")).toHaveAttribute("data-state", "live", {
    timeout: RETURN_LIMIT_MS,
  });

  await expect(banner).toHaveCount(0);
  await expect(priceOf(page)).toHaveAttribute("value", String(amount));
  await expect(page.getByTestId("ladder-row").first()).toContainText("Diego Fuentes");
  await expect(page.getByTestId("notice").filter({ hasText: "caught up" })).toContainText("3 events");
  await expect(page.getByTestId("bid-submit")).toBeEnabled();
  await expect(page.locator(".last-known")).toBeHidden();
  await expectNoReload(page);

  const asked = wire.sent.find((one) => one.channel === `lot:${lot.id}`);
  expect(asked).toMatchObject({
    type: "subscribe",
    since: { epoch: lot.epoch, offset: lot.offset + 1 },
  });
  const answer = wire.received.find((one) => one.type === "subscribed" && one.id === asked!.id);
  expect(answer).toMatchObject({ recovered: true });
});

test("the page comes back by itself, and a bid then works", async ({ page, context, house }) => {
  const lot = await house.english(75);
  const amara = await Person.stepIn(context.request, "amara", "eu-west-1");
  await amara.fund();
  const wire = await Wire.of(page);
  await openLive(page, amara.at(`/lots/${lot.id}`));
  await mark(page);
  await wire.cut();
  await expect(page.getByTestId("stale-banner")).toBeVisible();
  wire.mend();
  await expect(page.getByTestId("connection")).toHaveAttribute("data-state", "live", {
    timeout: RETURN_LIMIT_MS,
  });
  await expect(page.getByTestId("notice")).toContainText("You missed nothing.");
  await page.getByTestId("bid-submit").click();
  await expect(page.getByTestId("action-message")).toHaveAttribute("data-tone", "good");
  await expect(page.getByTestId("ladder-row").first()).toContainText("Amara Okafor");
  await expectNoReload(page);
});

test("a page that never reaches its socket says so", async ({ page, context, house }) => {
  const lot = await house.dutch();
  const amara = await Person.stepIn(context.request, "amara", "eu-west-1");
  const wire = await Wire.of(page);
  await wire.cut();
  await open(page, amara.at(`/lots/${lot.id}`));
  await expect(page.getByTestId("stale-banner")).toBeVisible();
  await expect(page.getByTestId("claim-submit")).toBeDisabled();
});

test("a drop's room comes back with the claims it missed", async ({ page, context, house }) => {
  const lot = await house.drop(75);
  const amara = await Person.stepIn(context.request, "amara", "eu-west-1");
  // Who buys in no other test: a person may have two units only.
  const buyer = await house.person("minjun");
  await buyer.fund();
  const wire = await Wire.of(page);
  await openLive(page, amara.at(`/lots/${lot.id}`));
  await mark(page);
  const { units, units_left, price } = lot.terms;
  const caption = page.locator(".price-caption");
  await expect(caption).toContainText(`${units_left} of ${units} left`);

  await wire.cut();
  await expect(page.getByTestId("stale-banner")).toBeVisible();
  const answer = await buyer.claim(lot.id, 1, price.minor);
  expect(answer.status(), await answer.text()).toBe(200);
  await expect(caption).toContainText(`${units_left} of ${units} left`);
  wire.mend();
  await expect(page.getByTestId("connection")).toHaveAttribute("data-state", "live", {
    timeout: RETURN_LIMIT_MS,
  });
  await expect(caption).toContainText(`${units_left - 1} of ${units} left`);
  await expect(page.getByTestId("ladder-row").first()).toContainText("Kim Min-jun");
  await expect(page.getByTestId("notice").filter({ hasText: "caught up" })).toContainText("1 event");
  await expectNoReload(page);

  // Claims have no place in the lot's history, so the page never says from where on.
  const asked = wire.sent.find((one) => one.channel === `lot:${lot.id}`);
  expect(asked).toMatchObject({ type: "subscribe" });
  expect(asked).not.toHaveProperty("since");
});

test("chat that does not answer is said, loses nothing and stops no bid", async ({
  page,
  context,
  house,
}) => {
  const lot = await house.english();
  const amara = await Person.stepIn(context.request, "amara", "eu-west-1");
  await amara.fund();
  const wire = await Wire.of(page);
  await openLive(page, amara.at(`/lots/${lot.id}`));
  const [down, input, send] = ["chat-down", "chat-input", "chat-send"].map((id) => page.getByTestId(id));
  await expect(down).toHaveCount(0);

  wire.chatIsDown = true;
  const text = `Is it signed? ${Date.now()}`;
  await input.fill(text);
  await send.click();
  await expect(down).toHaveText("Chat is slow to answer. Bids are not affected.");
  await expect(input, "what was written is still there").toHaveValue(text);
  await expect(send).toHaveText("Send again");
  const { minor } = lot.terms.next_minimum;
  await page.getByTestId("bid-submit").click();
  await expect(priceOf(page)).toHaveAttribute("value", String(minor));
  await expect(page.getByTestId("connection")).toHaveAttribute("data-state", "live");

  wire.chatIsDown = false;
  await expect(down).toHaveCount(0, { timeout: RETURN_LIMIT_MS });
  await send.click();
  await expect(page.getByTestId("chat-message").filter({ hasText: text })).toHaveCount(1);
  await expect(input).toHaveValue("");
});

test("a page that is refused a channel is not live, and asks again", async ({ page, house }) => {
  const lot = await house.english();
  const wire = await Wire.of(page);
  wire.refuses = `lot:${lot.id}`;
  await open(page, `/lots/${lot.id}`);
  const connection = page.getByTestId("connection");
  await expect(page.getByTestId("stale-banner")).toContainText("Trying now");
  await expect(connection).toHaveAttribute("data-state", "stale");
  const asked = () => wire.sent.filter((one) => one.channel === wire.refuses).length;
  await expect.poll(asked).toBeGreaterThan(2);

  const before = wire.attempts;
  wire.refuses = undefined;
  await expect(connection).toHaveAttribute("data-state", "live", { timeout: RETURN_LIMIT_MS });
  await expect(page.getByTestId("stale-banner")).toHaveCount(0);
  expect(wire.attempts, "on the same connection").toBe(before);
  // And it hears.
  const kenji = await house.person("kenji", "ap-northeast-1");
  await kenji.fund();
  const { minor } = lot.terms.next_minimum;
  expect((await kenji.bid(lot.id, minor)).status()).toBe(200);
  await expect(priceOf(page)).toHaveAttribute("value", String(minor));
});

test("a connection that is dead but open is left", async ({ page, house }) => {
  const lot = await house.english(75);
  const wire = await Wire.of(page);
  await openLive(page, `/lots/${lot.id}`);
  const before = wire.attempts;
  wire.die();
  const kenji = await house.person("kenji", "ap-northeast-1");
  await kenji.fund();
  const { minor } = lot.terms.next_minimum;
  expect((await kenji.bid(lot.id, minor)).status()).toBe(200);
  // Five seconds to the next ping, four without an answer, and a short pause.
  await expect(priceOf(page)).toHaveAttribute("value", String(minor), { timeout: 15_000 });
  expect(wire.attempts).toBeGreaterThan(before);
});

test("a network that goes is believed at once, and one that comes back is used at once", async ({
  page,
  house,
}) => {
  const lot = await house.english();
  const wire = await Wire.of(page);
  await openLive(page, `/lots/${lot.id}`);
  wire.close();
  await page.evaluate(() => window.dispatchEvent(new Event("offline")));
  const banner = page.getByTestId("stale-banner");
  await expect(banner).toBeVisible({ timeout: 4_000 });
  await expect(banner).toContainText(/Next try in ([4-9]|1\d|20) s/, { timeout: 60_000 });
  const attempts = wire.attempts;
  await page.evaluate(() => window.dispatchEvent(new Event("online")));
  await expect.poll(() => wire.attempts, { timeout: 3_000 }).toBeGreaterThan(attempts);
});

test("a page whose person is gone says so", async ({ page, context, house }) => {
  const lot = await house.english();
  const amara = await Person.stepIn(context.request, "amara", "eu-west-1");
  const wire = await Wire.of(page);
  await openLive(page, amara.at(`/lots/${lot.id}`));
  await context.clearCookies();
  await wire.cut();
  wire.mend();
  const banner = page.getByTestId("stale-banner");
  await expect(banner).toContainText("You are no longer signed in here.", { timeout: RETURN_LIMIT_MS });
  await expect(page.getByTestId("bid-submit")).toBeDisabled();
  await banner.getByRole("link", { name: "Reload the page" }).click();
  await expect(banner).toHaveCount(0);
  await expect(page.getByTestId("guest-note")).toBeVisible();
});
