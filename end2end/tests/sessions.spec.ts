// A browser stops acting as somebody: every tab of theirs learns it without a reload.
import { expect, openLive, Person, test } from "./lotzero.ts";

test("stepping out ends it in every tab and leaves the other people alone", async ({ context }) => {
  const [minjun, lena] = [
    await Person.stepIn(context.request, "minjun", "ap-northeast-2"),
    await Person.stepIn(context.request, "lena", "eu-central-1"),
  ];
  const [page, theirs, others] = [
    await context.newPage(),
    await context.newPage(),
    await context.newPage(),
  ];
  await openLive(theirs, minjun.at("/"));
  await openLive(others, lena.at("/"));
  await openLive(page, lena.at("/"));

  await page.getByTestId("who").click();
  await page.getByRole("link", { name: "Step out" }).click();
  await expect(page).toHaveURL(/\/sessions/);
  await expect(page.locator("details[open]")).toHaveCount(0);
  await expect(page.getByTestId("session-lena")).toContainText("this tab");

  const begun = Date.now();
  await page.getByTestId("step-out-minjun").click();
  await expect(page.getByTestId("session-minjun")).toHaveCount(0);
  await expect(page.getByTestId("who")).toContainText("Lena Hartmann");
  const connection = theirs.getByTestId("connection");
  await expect(connection).toHaveAttribute("data-state", "stale", { timeout: 5_000 });
  expect(Date.now() - begun).toBeLessThan(5_000);
  await expect(theirs.locator("body")).toContainText("You are no longer signed in here.");
  await expect(others.getByTestId("connection")).toHaveAttribute("data-state", "live");

  await page.getByTestId("step-out-lena").click();
  await expect(page.getByTestId("no-sessions")).toBeVisible();
  await expect(others.locator("body")).toContainText("You are no longer signed in here.");
});
