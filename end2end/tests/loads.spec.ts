// Pages are rendered by many threads at once: a load that meets another must not fail or hang.
import { expect, openLive, Person, test } from "./lotzero.ts";

const LOADS = 600;
const AT_ONCE = 4;

test("a room and the wallet load every time, several at once", async ({ page, context, house }) => {
  test.setTimeout(120_000);
  const lot = await house.drop();
  const amara = await Person.stepIn(context.request, "amara", "eu-west-1");
  const paths = [`/lots/${lot.id}`, "/wallet"].map((path) => amara.at(path));
  const failed: string[] = [];
  let begun = 0;
  const load = async () => {
    while (begun < LOADS) {
      const path = paths[begun % paths.length];
      begun += 1;
      const answer = await context.request.get(path);
      const body = await answer.text();
      if (answer.status() !== 200 || !body.includes("</html>") || body.includes("does not answer")) {
        failed.push(`${answer.status()} ${path}`);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, load));
  expect(failed).toEqual([]);
  await openLive(page, paths[0]);
});
