import { existsSync } from "node:fs";
import { defineConfig } from "@playwright/test";

// `cargo xtask end2end` sets this; the rest is for running Playwright by hand.
const chromium = [
  process.env.LOTZERO_CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path && existsSync(path));

// The sandbox refuses to run as root.
const asRoot = process.getuid?.() === 0 ? ["--no-sandbox"] : [];

export default defineConfig({
  testDir: "./tests",
  outputDir: "./test-results",
  globalSetup: "./global-setup.ts",
  // One server and its money are shared: tests take turns.
  workers: 1,
  fullyParallel: false,
  // A test that passes on the second try is a failing test.
  retries: 0,
  timeout: 60_000,
  expect: { timeout: 10_000 },
  reporter: [["list"]],
  use: {
    trace: "retain-on-failure",
    screenshot: "only-on-failure",
    timezoneId: "UTC",
    locale: "en-GB",
    launchOptions: {
      executablePath: chromium,
      args: [
        ...asRoot,
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-gpu",
        "--disable-sync",
        "--no-first-run",
      ],
    },
  },
  projects: [
    {
      name: "desktop",
      testIgnore: /phone\.spec\.ts$/,
      use: { viewport: { width: 1280, height: 800 } },
    },
    {
      name: "phone",
      // What does not depend on the width is tested once.
      testMatch: /(smoke|a11y|no-script|phone)\.spec\.ts$/,
      use: { viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true },
    },
  ],
});
