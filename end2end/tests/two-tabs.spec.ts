// Two tabs of one browser, two people in two Regions, one lot.
import type { Page } from "@playwright/test";
import {
  dollars,
  expect,
  expectIn,
  expectNoReload,
  mark,
  minorOf,
  moneyOf,
  openLive,
  Person,
  priceOf,
  test,
} from "./lotzero.ts";

/** Steps in by the menu in the header, as people do. */
async function stepIn(page: Page, handle: string, name: string): Promise<void> {
  await page.getByTestId("who").click();
  await page.getByTestId(`step-in-${handle}`).click();
  await expect(page.getByTestId("who")).toContainText(name);
}

async function actIn(page: Page, region: string): Promise<void> {
  await page.getByTestId("region").selectOption(region);
  await expect(page).toHaveURL(new RegExp(`in=${region}`));
}

test("each sees what the other does, pushed", async ({ context, house }) => {
  const lot = await house.english(75);
  for (const handle of ["amara", "kenji"]) {
    await (await house.person(handle)).fund();
  }
  const room = `/lots/${lot.id}`;
  const [one, other] = [await context.newPage(), await context.newPage()];
  await openLive(one, room);
  await stepIn(one, "amara", "Amara Okafor");
  await actIn(one, "eu-west-1");
  await openLive(other, room);
  await stepIn(other, "kenji", "Kenji Watanabe");
  await actIn(other, "ap-northeast-1");
  for (const page of [one, other]) {
    await expect(page.getByTestId("connection")).toHaveAttribute("data-state", "live");
    await mark(page);
  }

  await test.step("a bid holds its amount and leads on both screens", async () => {
    const before = await balances(one);
    const amount = lot.terms.next_minimum.minor;
    await one.getByTestId("bid-submit").click();
    await expectIn(one, amount);
    await expectBalances(one, before.available - amount, before.held + amount);
    await expect(one.getByTestId("standing")).toHaveAttribute("data-tone", "good");
    await expect(priceOf(other)).toHaveAttribute("value", String(amount));
    await expect(other.locator(".price-caption")).toHaveText(
      "Leading bid, Amara Okafor in Ireland",
    );
    await expectTop(other, "Amara Okafor", "Ireland", amount);
    await expectTop(one, "Amara Okafor", "Ireland", amount);
  });

  await test.step("being outbid says so and frees the hold", async () => {
    const before = await balances(one);
    const lead = await minorOf(priceOf(one));
    const quick = other.getByTestId("quick-bid").first();
    const amount = await amountOf(quick);
    expect(amount).toBeGreaterThan(lead);
    await quick.click();
    await expect(one.getByTestId("notice").first()).toContainText("You were outbid");
    await expect(one.getByTestId("notice").first()).toContainText(dollars(amount));
    await expect(one).toHaveTitle(/^\(1\) /);
    await expect(one.getByTestId("standing")).toHaveAttribute("data-tone", "bad");
    await expect(one.getByTestId("say-assertive")).toContainText("You were outbid");
    await expectBalances(one, before.available + lead, before.held - lead);
    await expectTop(one, "Kenji Watanabe", "Tokyo", amount);
    await expect(priceOf(one)).toHaveAttribute("value", String(amount));
  });

  await test.step("raising an own bid costs the difference", async () => {
    const before = await balances(other);
    const lead = await minorOf(priceOf(other));
    await expect(other.getByTestId("bid-submit")).toHaveText("Raise your bid");
    const raised = lead + 50_00;
    await other.getByTestId("bid-amount").fill((raised / 100).toFixed(2));
    await other.getByTestId("bid-submit").click();
    await expectIn(other, raised);
    await expectBalances(other, before.available - 50_00, before.held + 50_00);
    await expectTop(one, "Kenji Watanabe", "Tokyo", raised);
  });

  for (const page of [one, other]) {
    await expectNoReload(page);
  }
});

test("the room is shared: chat, reactions, presence", async ({ context, house }) => {
  const lot = await house.drop();
  const amara = await Person.stepIn(context.request, "amara", "eu-west-1");
  const kenji = await Person.stepIn(context.request, "kenji", "ap-northeast-1");
  const [one, other] = [await context.newPage(), await context.newPage()];
  await openLive(one, amara.at(`/lots/${lot.id}`));
  await openLive(other, kenji.at(`/lots/${lot.id}`));

  for (const [from, to, name, place] of [
    [one, other, "Amara Okafor", "Ireland"],
    [other, one, "Kenji Watanabe", "Tokyo"],
  ] as const) {
    const text = `Good evening from ${place}, ${Date.now()}`;
    await from.getByTestId("chat-input").fill(text);
    await from.getByTestId("chat-send").click();
    for (const page of [from, to]) {
      const message = page.getByTestId("chat-message").filter({ hasText: text });
      await expect(message).toHaveCount(1);
      await expect(message).toHaveAttribute("data-sent", "kept");
      await expect(message).toContainText(name);
      await expect(message).toContainText(place);
    }
    await expect(from.getByTestId("chat-input")).toHaveValue("");
  }

  const fire = (page: Page) => page.getByTestId("reaction-fire").locator(".reaction-total");
  const before = Number(await fire(other).textContent());
  for (let times = 0; times < 3; times += 1) {
    await one.getByTestId("reaction-fire").click();
  }
  await expect(fire(other)).toHaveText(String(before + 3));
  await expect(fire(one)).toHaveText(String(before + 3));

  for (const page of [one, other]) {
    await expect(page.getByTestId("watchers")).toHaveText("2 are watching", { timeout: 30_000 });
  }
  await other.close();
  await expect(one.getByTestId("watchers")).toHaveText("1 is watching", { timeout: 30_000 });
});

test("an address can name nobody whom this browser did not step in as", async ({
  page,
  context,
  house,
}) => {
  const lot = await house.english();
  const amara = await Person.stepIn(context.request, "amara", "eu-west-1");
  const hello = page.waitForEvent("websocket").then((socket) => socket.waitForEvent("framereceived"));
  await openLive(page, `/lots/${lot.id}?as=lena&in=eu-central-1`);

  await expect(page.getByTestId("who")).toContainText("Choose who you are");
  await expect(page.getByTestId("guest-note")).toBeVisible();
  await expect(page.getByTestId("bid-form")).toHaveCount(0);
  await expect(page.getByTestId("available")).toHaveCount(0);
  expect(JSON.parse(String((await hello).payload))).toMatchObject({ type: "hello", acting: null });

  const { minor } = lot.terms.next_minimum;
  const status = await page.evaluate(
    async ({ lot, amount }) => {
      const body = new URLSearchParams({
        lot,
        amount,
        currency: "USD",
        key: crypto.randomUUID(),
        acting_as: "lena",
        acting_in: "eu-central-1",
      });
      return (await fetch("/api/bid", { method: "POST", body })).status;
    },
    { lot: lot.id, amount: (minor / 100).toFixed(2) },
  );
  expect(status).toBe(401);
  expect((await house.room(lot.id)).lot.offset).toBe(lot.offset);
  // The one who did step in still acts.
  await openLive(page, amara.at(`/lots/${lot.id}`));
  await expect(page.getByTestId("bid-form")).toBeVisible();
});

interface Balances {
  available: number;
  held: number;
}

async function balances(page: Page): Promise<Balances> {
  return {
    available: await minorOf(moneyOf(page, "available")),
    held: await minorOf(moneyOf(page, "held")),
  };
}

async function expectBalances(page: Page, available: number, held: number): Promise<void> {
  await expect(moneyOf(page, "available")).toHaveAttribute("value", String(available));
  await expect(moneyOf(page, "held")).toHaveAttribute("value", String(held));
}

async function expectTop(page: Page, name: string, place: string, amount: number): Promise<void> {
  const top = page.getByTestId("ladder-row").first();
  await expect(top).toContainText(name);
  await expect(top).toContainText(place);
  await expect(top.locator("data")).toHaveAttribute("value", String(amount));
}

async function amountOf(quick: ReturnType<Page["getByTestId"]>): Promise<number> {
  const text = (await quick.textContent()) ?? "";
  return Math.round(Number(text.replace(/[$,]/g, "")) * 100);
}
