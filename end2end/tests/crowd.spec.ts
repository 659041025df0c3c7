import type { Locator, Page } from "@playwright/test";
import { Person, expect, open, openLive, test } from "./lotzero.ts";

async function say(page: Page, text: string): Promise<void> {
  await page.getByTestId("chat-input").fill(text);
  await page.getByTestId("chat-send").click();
  const message = page.getByTestId("chat-message").filter({ hasText: text });
  await expect(message).toHaveAttribute("data-sent", "kept");
}

/** Runs in the page: a socket takes five messages at once, so eleven of them write 55. */
async function fillRoom({ lot, handle }: { lot: string; handle: string }): Promise<void> {
  const address = `${location.origin.replace("http", "ws")}/live?as=${handle}`;
  for (let n = 0; n < 11; n += 1) {
    await new Promise<void>((resolve, reject) => {
      const socket = new WebSocket(address, "lotzero.v1.json");
      let answered = 0;
      socket.onerror = () => reject(new Error("the socket broke"));
      socket.onmessage = ({ data }) => {
        const frame = JSON.parse(String(data)) as { type: string };
        if (frame.type === "hello") {
          for (let id = 1; id <= 5; id += 1) {
            const client_id = `fill-${n}-${id}`;
            const text = `Line ${n * 5 + id}.`;
            socket.send(JSON.stringify({ type: "chat", id, lot, client_id, text }));
          }
        } else if (frame.type === "done" && (answered += 1) === 5) {
          socket.close();
          resolve();
        } else if (frame.type === "error") {
          reject(new Error(String(data)));
        }
      };
    });
  }
}

test("the seller removes and mutes, and the room sees it at once", async ({ context, house }) => {
  const lot = await house.english();
  const seller = await Person.stepIn(context.request, lot.seller.handle, "eu-west-1");
  const kenji = await Person.stepIn(context.request, "kenji", "ap-northeast-1");
  const [one, other] = [await context.newPage(), await context.newPage()];
  await openLive(one, seller.at(`/lots/${lot.id}`));
  await openLive(other, kenji.at(`/lots/${lot.id}`));
  const text = `Buy my watch instead ${Date.now()}`;
  await say(other, text);
  const messages = (page: Page) => page.getByTestId("chat-message").filter({ hasText: text });
  await expect(messages(one)).toHaveCount(1);

  await messages(one).getByTestId("chat-menu").locator("summary").click();
  await messages(one).getByRole("button", { name: "Mute for 10 minutes" }).click();
  await expect(one.getByText("Mute for 10 minutes: done.")).toBeVisible();
  await messages(one).getByRole("button", { name: "Remove" }).click();
  for (const page of [one, other]) {
    await expect(messages(page)).toHaveCount(0);
  }

  const kept = "But it is a good watch";
  await other.getByTestId("chat-input").fill(kept);
  await other.getByTestId("chat-send").click();
  await expect(other.getByTestId("chat-left")).toContainText("You are muted in this room");
  await expect(other.getByTestId("chat-input")).toHaveValue(kept);
  await expect(other.getByTestId("chat-send")).toHaveText("Send again");

  await one.getByRole("link", { name: "Moderate this room" }).click();
  await expect(one.getByTestId("audit-line")).toHaveCount(2);
  await one.getByTestId("muted").getByRole("button", { name: "Unmute" }).click();
  await expect(one.getByText("Nobody is muted.")).toBeVisible();
  await other.getByTestId("chat-send").click();
  await expect(other.getByTestId("chat-message").filter({ hasText: kept })).toHaveCount(1);
  await expect(other.getByTestId("chat-input")).toHaveValue("");

  await one.getByTestId("slow-mode").selectOption({ label: "30 seconds" });
  await one.getByRole("button", { name: "Set" }).click();
  await expect(one.getByTestId("slow-mode")).toHaveValue("30");
  await expect(other.getByTestId("chat-left")).toHaveText("Slow mode: a message every 30 s");
  await other.getByTestId("chat-input").fill("Again");
  await other.getByTestId("chat-send").click();
  await expect(other.getByTestId("chat-left")).toHaveText(/^Slow mode: \d+ s$/);
  await expect(other.getByTestId("chat-send")).toBeDisabled();
  await one.getByTestId("slow-mode").selectOption({ label: "Off" });
  await one.getByRole("button", { name: "Set" }).click();
  await expect(one.getByTestId("slow-mode")).toHaveValue("0");
});

test("earlier messages come in above, and what one reads stays where it is", async ({
  page,
  context,
  house,
}) => {
  const lot = await house.drop();
  const kenji = await Person.stepIn(context.request, "kenji", "ap-northeast-1");
  await openLive(page, kenji.at(`/lots/${lot.id}`));
  await page.evaluate(fillRoom, { lot: lot.id, handle: "kenji" });
  await openLive(page, kenji.at(`/lots/${lot.id}`));
  const lines = page.getByTestId("chat-message");
  await expect(lines).toHaveCount(50);
  const log = page.locator("#chat-log");
  await log.evaluate((list) => (list.scrollTop = 0));
  const first = lines.first();
  const text = (await first.locator(".chat-text").textContent())!.trim();
  const within = async (line: Locator) =>
    (await line.boundingBox())!.y - (await log.boundingBox())!.y;
  const before = await within(first);
  await page.getByTestId("chat-earlier").click();
  await expect.poll(() => lines.count()).toBeGreaterThan(50);
  const same = lines.filter({ has: page.getByText(text, { exact: true }) });
  await expect.poll(async () => Math.abs((await within(same)) - before)).toBeLessThan(60);
});

test("the floor shows who spent most, and its activity can be read back", async ({ page, house }) => {
  const lot = await house.drop();
  const minjun = await house.person("minjun");
  expect((await minjun.claim(lot.id, 1, lot.terms.price.minor)).status()).toBe(200);
  await open(page, "/");
  await expect(page.getByRole("heading", { name: "Top buyers" })).toBeVisible();
  await page.getByRole("link", { name: "Older activity" }).click();
  await expect(page.getByRole("heading", { name: "Activity" })).toBeVisible();
  const line = page.getByTestId("activity-line").filter({ hasText: "Kim Min-jun" }).first();
  await line.getByRole("link").click();
  await expect(page).toHaveURL(/\/lots\/lot_/);
});
