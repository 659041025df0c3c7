// A sceptic at the proof: reads a query, runs a race, sees a broken engine caught, stops a swarm.
import { AxeBuilder } from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { expect, expectFits, Person, test } from "./lotzero.ts";
import { Wire } from "./wire.ts";

/** Begins what a form says and waits for the page of the run that has ended. */
async function ends(page: Page, state: string) {
  await expect(page).toHaveURL(/\/proof\/runs\/[0-9a-f]{16}$/);
  await expect(page.getByTestId("run-state")).toHaveText(state, { timeout: 40_000 });
}

test("the four zeros rest on queries that anybody can read", async ({ page }) => {
  await page.goto("/proof");
  const tile = page.getByTestId("tile-oversold");
  await page.getByRole("button", { name: "Check now" }).click();
  await expect(tile).toHaveAttribute("data-health", "ok");
  await expect(tile.locator("[data-number]")).toHaveText("0");
  await tile.getByText("Show me").click();
  await expect(tile.locator("pre").first()).toContainText("SELECT");
  await expect(tile.locator("[data-evidence='A6']")).toHaveText("0 rows");
  await expectFits(page);
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([]);
});

test("a race is run and its page stays", async ({ page }) => {
  await page.goto("/proof");
  const form = page.getByTestId("race-form");
  await form.getByLabel("What is raced for").selectOption("oversell");
  await form.getByLabel("Buyers, 10 to 200").fill("60");
  await form.getByLabel("Units, 1 to 20").fill("7");
  await form.getByRole("button", { name: "Run it" }).click();
  await ends(page, "held");
  await expect(page.getByTestId("figure-committed")).toHaveText("7");
  await expect(page.getByTestId("figure-violations")).toHaveText("0");
  await expect(page.locator(".grid li[data-word='done']")).toHaveCount(7);
  await expect(page.locator(".grid li")).toHaveCount(60);
  await page.reload();
  await expect(page.getByTestId("figure-committed")).toHaveText("7");
  await expectFits(page);
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([]);
});

test("the panels keep who acts and where", async ({ page, context }) => {
  const amara = await Person.stepIn(context.request, "amara", "ap-northeast-1");
  for (const path of ["/proof", "/mission-control", "/playground"]) {
    await page.goto(amara.at(path));
    await expect(page.getByTestId("who")).toContainText("Amara Okafor");
    const links = page.locator("main a[href^='/']:not([download])");
    for (const link of await links.all()) {
      await expect(link).toHaveAttribute("href", /\?as=amara&in=ap-northeast-1$/);
    }
  }
  await page.goto(amara.at("/proof"));
  const form = page.getByTestId("race-form");
  await form.getByLabel("Buyers, 10 to 200").fill("60");
  await form.getByRole("button", { name: "Run it" }).click();
  await expect(page).toHaveURL(/\/proof\/runs\/[0-9a-f]{16}\?as=amara&in=ap-northeast-1$/);
  await expect(page.getByTestId("run-state")).toHaveText(/held|invalid/, { timeout: 40_000 });
  await page.locator("main").getByRole("link", { name: "Proof", exact: true }).click();
  await expect(page).toHaveURL(/\/proof\?as=amara&in=ap-northeast-1$/);
});

test("a race holds while COMMITs are lost, and says how many were", async ({ page }) => {
  await page.goto("/proof");
  const form = page.getByTestId("race-form");
  await form.getByLabel("What is raced for").selectOption("double_spend");
  await form.getByLabel("What goes wrong meanwhile").selectOption("lost_commits");
  await form.getByRole("button", { name: "Run it" }).click();
  await ends(page, "held");
  await expect(page.getByText("Faults that took effect")).toBeVisible();
  await expect(page.getByText("How long requests took")).toBeVisible();
  await page.getByText("audits with their queries").click();
  await expect(page.locator("details[open] pre").first()).toContainText("SELECT");
  await expect(page.getByRole("heading", { level: 1 })).toContainText("COMMITs lost");
});

test("a naive engine sells what is not there, beside ours which does not", async ({ page }) => {
  await page.goto("/proof");
  await page.getByRole("button", { name: "Run both" }).click();
  const [ours, naive] = [page.getByTestId("side-house"), page.getByTestId("side-naive")];
  await expect(naive).toHaveAttribute("data-state", "broken", { timeout: 40_000 });
  await expect(ours).toHaveAttribute("data-state", "held");
  await expect(ours.locator("[data-over]")).toHaveText("0");
  await expect(naive.locator("[data-over]")).not.toHaveText("0");
  await page.reload();
  await expect(naive).toHaveAttribute("data-state", "broken");
  await naive.getByRole("link", { name: "The run" }).click();
  await expect(page.getByTestId("findings")).toContainText("oversold by");
});

test("a swarm shows how far it is, survives a reload, and is stopped", async ({ page }) => {
  await page.goto("/proof");
  const form = page.getByTestId("swarm-form");
  await form.getByLabel("Agents, each by HTTP").fill("3000000");
  await form.getByLabel("Units, 1 to 400").fill("20");
  await form.getByRole("button", { name: "Unleash it" }).click();
  await expect(page.locator("[data-figure='committed']")).toHaveText("20", { timeout: 20_000 });
  await page.reload();
  await expect(page.locator("[data-figure='committed']")).toHaveText("20");
  await page.getByRole("button", { name: "Stop it" }).click();
  await ends(page, "invalid");
  await expect(page.getByTestId("figure-violations")).toHaveText("0");
});

test("the floor's card runs a thousand agents", async ({ page }) => {
  await page.goto("/");
  const card = page.getByTestId("burst");
  await card.getByRole("button", { name: "Unleash them" }).click();
  await expect(card.getByRole("status")).toContainText("25 of 25 sold", { timeout: 40_000 });
  await expect(card).toContainText("Every rule held");
  await card.getByRole("link", { name: "The run's own page" }).click();
  await expect(page.getByTestId("run-state")).toHaveText("held");
});

test("the playground answers the same key with the same, and tells what binds", async ({ page }) => {
  await page.goto("/playground");
  const form = page.getByTestId("stand-form");
  await form.getByLabel("Agents, 1 to 500").fill("12");
  await form.getByLabel("Units at $10, 1 to 400").fill("8");
  await form.getByLabel("Budget in dollars, 1 to 5,000").fill("50");
  await form.getByRole("button", { name: "Set it up" }).click();
  await page.getByRole("button", { name: "Send it" }).click();
  const status = page.getByTestId("answer-status");
  await expect(status).toHaveText("201");
  await expect(page.getByTestId("left-units")).toHaveText("7");
  const answer = await page.getByTestId("answer").textContent();
  await page.getByRole("button", { name: "Send it" }).click();
  await expect(status).toContainText("replayed");
  expect(await page.getByTestId("answer").textContent()).toBe(answer);
  await expect(page.getByTestId("left-units")).toHaveText("7");
  await page.getByRole("button", { name: "Send 12 agents" }).click();
  await expect(page.getByTestId("binds")).toHaveText("What binds: the budget.");
  await expect(page.getByTestId("left-budget")).toHaveText("$0.00");
  await expectFits(page);
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([]);
});

test("an operator takes a Region away in two steps, and gives it back", async ({ page }) => {
  await page.goto("/mission-control");
  await expect(page.getByTestId("database")).toContainText("Database: endpoint");
  await expect(page.getByTestId("freshness")).toHaveText("live");
  await page.getByRole("button", { name: "Pause" }).click();
  await expect(page.getByTestId("freshness")).toContainText("paused since");
  await page.getByRole("button", { name: "Go on" }).click();
  await expect(page.getByTestId("freshness")).toHaveText("live");
  const lamp = page.getByTestId("region-ap-northeast-2");
  await expect(lamp.locator("[data-lamp]")).toHaveText("open");
  await lamp.getByRole("button", { name: "Arm" }).click();
  await expect(lamp.locator("[data-lamp]")).toHaveText("open");
  await lamp.getByRole("button", { name: "Confirm" }).click();
  await expect(lamp.locator("[data-lamp]")).toHaveText("taken away");
  await expect(page.locator("[data-log]")).toContainText("Seoul was taken away");
  await lamp.getByRole("button", { name: "Restore" }).click();
  await expect(lamp.locator("[data-lamp]")).toHaveText("open");
  await page.getByRole("button", { name: "Write in the first, read in the second" }).click();
  await expect(page.locator("[data-probed]")).toContainText("the same");
  await expectFits(page);
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([]);
});

test("Mission Control says when it is old, and comes back by itself", async ({ page }) => {
  const wire = await Wire.of(page);
  await page.goto("/mission-control");
  const freshness = page.getByTestId("freshness");
  await expect(freshness).toHaveText("live");
  // Cut for everybody to see.
  await wire.cut();
  await expect(freshness).toContainText("stale since");
  wire.mend();
  await expect(freshness).toHaveText("live", { timeout: 10_000 });
  // Dead without a word: nothing comes any more, and the page leaves the connection.
  wire.die();
  await expect(freshness).toContainText("stale since", { timeout: 10_000 });
  await expect(freshness).toHaveText("live", { timeout: 20_000 });
  expect(wire.attempts).toBeGreaterThan(1);
});
