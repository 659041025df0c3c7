// What is refused: by name, with nothing changed.
import {
  dollars,
  dutchPrice,
  expect,
  freshKey,
  type House,
  isOf,
  openLive,
  Person,
  serverUrl,
  test,
} from "./lotzero.ts";
import type { Answer } from "./types.ts";

const NOT_AN_AMOUNT = "That is not an amount. Write it like 1250 or 1,250.50, without signs.";
const NO_LOT = `lot_${"0".repeat(32)}`;

/** What a refused command must leave as it was. */
async function state(house: House, lot: string, person: Person): Promise<unknown> {
  const [room, wallet] = [await house.room(lot), await person.wallet()];
  return {
    offset: room.lot.offset,
    ladder: room.ladder,
    wallet: wallet.wallet,
    statement: wallet.statement,
  };
}

test("amounts that are none are said on the page and change nothing", async ({
  page,
  context,
  house,
}) => {
  const lot = await house.english();
  const lena = await Person.stepIn(context.request, "lena", "eu-central-1");
  await lena.fund();
  const before = await state(house, lot.id, lena);
  await openLive(page, lena.at(`/lots/${lot.id}`));
  const message = page.getByTestId("action-message");
  for (const bad of ["-5", "0", "500.001", "99999999999999999999", "five hundred", "5e2", ""]) {
    await page.getByTestId("bid-amount").fill(bad);
    await page.getByTestId("bid-submit").click();
    await expect(message, `for "${bad}"`).toHaveText(NOT_AN_AMOUNT);
    await expect(message).toHaveAttribute("data-tone", "bad");
    await expect(page.getByTestId("bid-submit")).toBeEnabled();
  }
  await page.getByTestId("bid-amount").fill("1");
  await page.getByTestId("bid-submit").click();
  await expect(message).toHaveText(
    `The next valid bid is ${dollars(lot.terms.next_minimum.minor)}.`,
  );
  expect(await state(house, lot.id, lena)).toEqual(before);
});

test("an amount far above the price is asked about, and one beyond the wallet is refused", async ({
  page,
  context,
  house,
}) => {
  const lot = await house.english();
  const lena = await Person.stepIn(context.request, "lena", "eu-central-1");
  await lena.fund();
  const before = await state(house, lot.id, lena);
  await openLive(page, lena.at(`/lots/${lot.id}`));
  const message = page.getByTestId("action-message");
  await page.getByTestId("bid-amount").fill("5000000");
  await page.getByTestId("bid-submit").click();
  await expect(message).toContainText("Press again if you mean it.");
  await page.getByTestId("bid-submit").click();
  await expect(message).toContainText("This needs $5,000,000; you have $");
  expect(await state(house, lot.id, lena)).toEqual(before);
});

test("requests get the code and the status of their refusal", async ({ house }) => {
  const lot = await house.english();
  const dutch = await house.dutch();
  const drop = await house.drop();
  const lena = await house.person("lena", "eu-central-1");
  await lena.fund();
  const before = await state(house, lot.id, lena);
  const amount = (lot.terms.next_minimum.minor / 100).toFixed(2);
  const bid = (change: Record<string, string>) =>
    lena.send("bid", { lot: lot.id, amount, currency: "USD", key: freshKey(), ...change });
  const claim = (change: Record<string, string>) => {
    const form = { lot: drop.id, units: "1", max_price: "1", currency: "USD", key: freshKey() };
    return lena.send("claim", { ...form, ...change });
  };
  const { step_minor } = dutch.terms.schedule;
  const deepest = String(dutch.terms.schedule.floor.minor - step_minor);
  for (const [what, answer, status, code] of [
    ["a negative amount", bid({ amount: "-5" }), 422, "invalid_amount"],
    ["no amount", bid({ amount: "0" }), 422, "invalid_amount"],
    ["a fraction of a cent", bid({ amount: "500.001" }), 422, "invalid_amount"],
    ["a huge amount", bid({ amount: "99999999999999999999" }), 422, "invalid_amount"],
    ["text", bid({ amount: "five" }), 422, "invalid_amount"],
    ["a currency nobody has", bid({ currency: "XXX" }), 422, "invalid_currency"],
    ["another currency", bid({ currency: "EUR" }), 409, "currency_mismatch"],
    ["no key", bid({ key: "" }), 422, "invalid_key"],
    ["an endless key", bid({ key: "k".repeat(1_000) }), 422, "invalid_key"],
    ["a malformed lot", bid({ lot: "1" }), 422, "invalid_id"],
    ["an unknown lot", bid({ lot: NO_LOT }), 409, "not_found"],
    ["an unknown field", bid({ price: "1" }), 422, "invalid_form"],
    ["a bid on a falling price", bid({ lot: dutch.id }), 409, "wrong_mechanism"],
    ["a claim on rising bids", claim({ lot: lot.id }), 409, "wrong_mechanism"],
    ["a price of long ago", claim({}), 409, "price_moved"],
    ["a price not yet reached", claim({ lot: dutch.id, max_price: deepest }), 409, "price_moved"],
    ["no units", claim({ units: "0" }), 422, "invalid_units"],
    ["half a unit", claim({ units: "0.5" }), 422, "invalid_units"],
    ["more units than one may have", claim({ units: "3", max_price: "9999999" }), 409, "limit_reached"],
    ["a missing field", lena.send("bid", { lot: lot.id, amount }), 422, "invalid_form"],
  ] as const) {
    const answered = await answer;
    const said = await answered.text();
    expect.soft([what, answered.status()], said).toEqual([what, status]);
    expect.soft([what, parsed(said).code], said).toEqual([what, code]);
  }
  expect(await state(house, lot.id, lena)).toEqual(before);
});

test("a seller cannot bid on an own lot", async ({ page, context, house }) => {
  const lot = await house.english();
  const seller = await Person.stepIn(context.request, lot.seller.handle, "eu-central-1");
  const before = await state(house, lot.id, seller);
  await openLive(page, seller.at(`/lots/${lot.id}`));
  await expect(page.getByText("This lot is yours, so you cannot buy it.")).toBeVisible();
  await expect(page.getByTestId("bid-form")).toHaveCount(0);
  const answer = await seller.bid(lot.id, lot.terms.next_minimum.minor);
  expect(answer.status()).toBe(409);
  expect(await answer.json()).toMatchObject({ not_done: "refused", code: "own_lot" });
  expect(await state(house, lot.id, seller)).toEqual(before);
});

test("a price that has moved is told, and nothing is charged", async ({ house }) => {
  const lot = await house.dutch();
  const lena = await house.person("lena", "eu-central-1");
  await lena.fund();
  const before = await state(house, lot.id, lena);
  const now = dutchPrice(lot, (await house.room(lot.id)).server_time);
  const answer = await lena.claim(lot.id, 1, now - 5 * lot.terms.schedule.step_minor);
  expect(answer.status()).toBe(409);
  const { code, price } = (await answer.json()) as Answer;
  expect(code).toBe("price_moved");
  expect(now - price!.minor).toBeLessThanOrEqual(lot.terms.schedule.step_minor);
  expect(await state(house, lot.id, lena)).toEqual(before);
});

test("other sites' pages and strangers can do nothing", async ({ playwright, house }) => {
  const lot = await house.english();
  const lena = await house.person("lena", "eu-central-1");
  await lena.fund();
  const before = await state(house, lot.id, lena);
  const amount = (lot.terms.next_minimum.minor / 100).toFixed(2);
  const form = { lot: lot.id, amount, currency: "USD", key: freshKey() };
  for (const origin of ["https://evil.example", "null", `${serverUrl()}.evil.example`]) {
    for (const command of ["bid", "claim", "settle", "top-up"]) {
      const answer = await lena.send(command, form, { origin });
      expect(answer.status(), `${command} from ${origin}`).toBe(403);
    }
  }
  const stranger = await playwright.request.newContext({ baseURL: serverUrl() });
  const send = (headers: Record<string, string>) =>
    stranger.post("/api/bid", {
      form: { ...form, acting_as: "lena", acting_in: "eu-central-1" },
      headers,
      maxRedirects: 0,
    });
  expect((await send({})).status(), "no origin at all").toBe(403);
  const answer = await send({ origin: serverUrl() });
  expect(answer.status()).toBe(401);
  expect(await answer.json()).toMatchObject({ not_done: "failed", code: "sign_in" });
  const step = await stranger.post("/api/step-in", {
    form: { handle: "sim-ada", region: "us-east-1", next: "/" },
    headers: { origin: serverUrl() },
    maxRedirects: 0,
  });
  expect(step.status(), "nobody steps in as a simulated bidder").toBe(404);
  await stranger.dispose();
  expect(await state(house, lot.id, lena)).toEqual(before);
});

test("one key has one effect, and belongs to one command", async ({ house }) => {
  const lot = await house.english();
  const lena = await house.person("lena", "eu-central-1");
  await lena.fund();
  const amount = lot.terms.next_minimum.minor;
  const key = freshKey();
  const first = await lena.bid(lot.id, amount, key);
  expect(first.status(), await first.text()).toBe(200);
  const after = await state(house, lot.id, lena);
  const again = await lena.bid(lot.id, amount, key);
  expect(again.status()).toBe(200);
  expect(await again.json()).toEqual(await first.json());
  const other = await lena.bid(lot.id, amount + 50_00, key);
  expect(other.status()).toBe(422);
  expect(await other.json()).toMatchObject({ not_done: "failed", code: "key_reused" });
  expect(await state(house, lot.id, lena)).toEqual(after);

  // A refusal is kept under its key as well, even once it would be accepted.
  const refused = freshKey();
  const kept = await (await lena.bid(lot.id, amount - 1, refused)).json();
  expect(kept).toMatchObject({ code: "too_low" });
  expect(await (await lena.bid(lot.id, amount - 1, refused)).json()).toEqual(kept);

  // Pressed five times at once it is still one bid.
  const { lot: now } = await house.room(lot.id);
  const next = isOf(now, "english") ? now.terms.next_minimum.minor : 0;
  const rush = freshKey();
  const rushed = await Promise.all(Array.from({ length: 5 }, () => lena.bid(lot.id, next, rush)));
  const answers = await Promise.all(rushed.map((one) => one.text()));
  expect(rushed.map((one) => one.status())).toEqual([200, 200, 200, 200, 200]);
  expect(new Set(answers).size).toBe(1);
  expect((await house.room(lot.id)).lot.offset).toBe(now.offset + 1);
});

test.describe("addresses that lead nowhere", () => {
  test.use({ expected: [/status of 404/] });

  for (const path of [`/lots/${NO_LOT}`, "/lots/1", "/lots/lot_%27%20or%201=1", "/nothing-here"]) {
    test(`${path} is not found, and leads back`, async ({ page }) => {
      const answer = await page.goto(path);
      expect(answer?.status()).toBe(404);
      await expect(page.getByTestId("not-found")).toBeVisible();
      await page.getByRole("link", { name: "Back to the floor" }).click();
      await expect(page.getByTestId("lot-card").first()).toBeVisible();
    });
  }
});

function parsed(text: string): Answer {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
