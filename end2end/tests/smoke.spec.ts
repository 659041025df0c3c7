// Observes the floor from outside: the real server, a real browser, no clicks.
import { AxeBuilder } from "@axe-core/playwright";
import { expect, hydrated, test } from "./lotzero.ts";

test("the floor opens with its heading, its bundle and no complaints", async ({ page }) => {
  const bundle = page.waitForResponse((response) => response.url().endsWith("/pkg/lotzero.wasm"));
  await page.goto("/");
  await expect(page.getByRole("heading", { level: 1 })).toBeVisible();

  const wasm = await bundle;
  expect(wasm.status()).toBe(200);
  expect(wasm.headers()["content-type"]).toBe("application/wasm");
  await hydrated(page);
});

test("the floor fits the width of the screen", async ({ page }) => {
  await page.goto("/");
  const overflow = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  expect(overflow).toBeLessThanOrEqual(0);
});

test("the floor has no accessibility violations", async ({ page }) => {
  await page.goto("/");
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map((found) => `${found.id}: ${found.nodes[0]?.html}`)).toEqual([]);
});
