// A lost connection: said, no money moves on old prices, and what was missed is caught up.
import type { Page, WebSocketRoute } from "@playwright/test";
import { expect, expectNoReload, mark, open, openLive, Person, priceOf, test } from "./lotzero.ts";

/** The wire between the page and the server, which a test may cut. */
class Wire {
  private routes: WebSocketRoute[] = [];
  private isCut = false;
  attempts = 0;
  readonly sent: Record<string, unknown>[] = [];
  readonly received: Record<string, unknown>[] = [];

  static async of(page: Page): Promise<Wire> {
    const wire = new Wire();
    await page.routeWebSocket(/\/live(\?|$)/, (route) => wire.take(route));
    return wire;
  }

  private take(route: WebSocketRoute): void {
    this.attempts += 1;
    if (this.isCut) {
      void route.close({ code: 1011 });
      return;
    }
    this.routes.push(route);
    const server = route.connectToServer();
    route.onMessage((frame) => {
      this.sent.push(JSON.parse(String(frame)));
      server.send(frame);
    });
    server.onMessage((frame) => {
      this.received.push(JSON.parse(String(frame)));
      route.send(frame);
    });
  }

  async cut(): Promise<void> {
    this.isCut = true;
    for (const route of this.routes.splice(0)) {
      await route.close({ code: 1011 });
    }
  }

  mend(): void {
    this.isCut = false;
    this.sent.length = 0;
    this.received.length = 0;
  }
}

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
  expect(Date.now() - cutAt).toBeLessThan(4_000);
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

  // A try that is far off, so that only the button can bring it forward.
  await expect(banner).toContainText(/Next try in ([4-9]|1\d|20) s/, { timeout: 40_000 });
  const attempts = wire.attempts;
  wire.mend();
  await page.getByRole("button", { name: "Retry now" }).click();
  await expect(page.getByTestId("connection")).toHaveAttribute("data-state", "live", {
    timeout: 3_000,
  });
  expect(wire.attempts).toBe(attempts + 1);

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
    timeout: 25_000,
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
