// Units at one price, two a person.
import { dollars, expect, minorOf, moneyOf, openLive, Person, test } from "./lotzero.ts";

test("two units are bought at once, a third is refused by the limit", async ({ context, house }) => {
  const lot = await house.drop();
  const diego = await Person.stepIn(context.request, "diego", "us-west-2");
  const lena = await Person.stepIn(context.request, "lena", "eu-central-1");
  await diego.fund();
  const [buyer, other, floor] = await Promise.all([
    context.newPage(),
    context.newPage(),
    context.newPage(),
  ]);
  await openLive(buyer, diego.at(`/lots/${lot.id}`));
  await openLive(other, lena.at(`/lots/${lot.id}`));
  await openLive(floor, lena.at("/"));
  const { price, units, units_left } = lot.terms;
  const left = (n: number) => `${n} of ${units} left`;
  await expect(other.locator(".price-caption")).toContainText(left(units_left));

  const before = await minorOf(moneyOf(buyer, "available"));
  await buyer.getByTestId("claim-units").fill("2");
  await expect(buyer.getByTestId("claim-submit")).toHaveText(`Buy for ${dollars(2 * price.minor)}`);
  await buyer.getByTestId("claim-submit").click();
  await expect(buyer.getByTestId("action-message")).toHaveText(
    `2 units are yours for ${dollars(2 * price.minor)}.`,
  );
  const after = String(before - 2 * price.minor);
  await expect(moneyOf(buyer, "available")).toHaveAttribute("value", after);
  await expect(other.locator(".price-caption")).toContainText(left(units_left - 2));
  const line = other.getByTestId("ladder-row").filter({ hasText: "Diego Fuentes" });
  await expect(line).toHaveCount(1);
  await expect(line).toContainText("Oregon");
  await expect(line).toContainText("2 ×");
  const card = floor.locator(`[data-testid=lot-card][data-lot=${lot.id}]`);
  await expect(card).toContainText(left(units_left - 2));

  await buyer.getByTestId("claim-units").fill("1");
  await buyer.getByTestId("claim-submit").click();
  await expect(buyer.getByTestId("action-message")).toHaveText("One buyer may have 2; you have 2.");
  for (const bad of ["0", "1.5", "-1", "two"]) {
    await buyer.getByTestId("claim-units").fill(bad);
    await buyer.getByTestId("claim-submit").click();
    await expect(buyer.getByTestId("action-message")).toHaveText(
      "Write the number of units as a whole number, like 2.",
    );
    await expect(buyer.getByTestId("claim-submit")).toBeEnabled();
  }

  await buyer.reload();
  await expect(moneyOf(buyer, "available")).toHaveAttribute("value", after);
  const now = await house.room(lot.id);
  expect(now.lot.terms).toMatchObject({ units_left: units_left - 2 });
  expect(now.ladder.filter((one) => one.who.handle === "diego")).toHaveLength(1);
});
