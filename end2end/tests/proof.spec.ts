// A sceptic at the proof: reads a query, runs a race, sees a broken engine caught, stops a swarm.
import { AxeBuilder } from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { expect, expectFits, test } from "./lotzero.ts";

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
  await expectFits(page);
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([]);
});

test("a race is run and its page stays", async ({ page }) => {
  await page.goto("/proof");
  const form = page.getByTestId("race-form");
  await form.getByLabel("What is raced for").selectOption("oversell");
  await form.getByLabel("Buyers").fill("60");
  await form.getByLabel("Units").fill("7");
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

test("a naive engine sells what is not there, and that is seen", async ({ page }) => {
  await page.goto("/proof");
  const form = page.getByTestId("race-form");
  await form.getByLabel("Engine").selectOption("naive");
  await form.getByRole("button", { name: "Run it" }).click();
  await ends(page, "broken");
  await expect(page.getByTestId("findings")).toContainText("oversold by");
});

test("a swarm shows how far it is, survives a reload, and is stopped", async ({ page }) => {
  await page.goto("/proof");
  const form = page.getByTestId("swarm-form");
  await form.getByLabel("Agents").fill("3000000");
  await form.getByLabel("Units").fill("20");
  await form.getByRole("button", { name: "Unleash it" }).click();
  await expect(page.locator("[data-figure='committed']")).toHaveText("20", { timeout: 20_000 });
  await page.reload();
  await expect(page.locator("[data-figure='committed']")).toHaveText("20");
  await page.getByRole("button", { name: "Stop it" }).click();
  await ends(page, "invalid");
  await expect(page.getByTestId("figure-violations")).toHaveText("0");
});
