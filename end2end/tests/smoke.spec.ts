// Observes the floor from outside: the real server, a real browser, no clicks.
import { expect, hydrated, test } from "./lotzero.ts";

test("the floor opens with its heading, its bundle and no complaints", async ({ page }) => {
  const bundle = page.waitForResponse((response) => response.url().endsWith("/pkg/lotzero.wasm"));
  const document = await page.goto("/");
  expect(document?.headers()["content-security-policy"]).toContain("script-src 'nonce-");
  await expect(page.getByRole("heading", { level: 1 })).toBeVisible();

  const wasm = await bundle;
  expect(wasm.status()).toBe(200);
  expect(wasm.headers()["content-type"]).toBe("application/wasm");
  await hydrated(page);
});

test.describe("a script that is not ours", () => {
  // The listener that would tell of a violation has to be shown to work.
  test.use({ expected: [/policy: script-src|Content Security Policy/] });

  test("does not run, and the test would notice", async ({ page, complaints }) => {
    await page.goto("/");
    await hydrated(page);
    await page.evaluate(() => {
      const script = document.createElement("div");
      script.innerHTML = `<img src="/favicon.svg" onload="window.isForeign = true">`;
      document.body.append(script);
    });
    await expect.poll(() => complaints.join("\n")).toContain("policy: script-src");
    expect(await page.evaluate(() => Reflect.get(window, "isForeign"))).toBeUndefined();
  });
});
