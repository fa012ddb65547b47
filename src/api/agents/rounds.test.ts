import fc from "fast-check";
import { expect, test } from "vitest";
import { Rounds } from "./rounds.ts";

test("whoever asks, in whatever turn, is served by a round that begins behind that, and no two go at once", async () => {
  const turns = fc.array(fc.nat(5), { minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(turns, fc.nat(3), async (pauses, length) => {
      let [asked, served, going] = [0, 0, 0];
      const rounds = new Rounds(async () => {
        const seen = asked;
        going += 1;
        expect(going).toBe(1);
        for (let turn = 0; turn < length; turn += 1) await Promise.resolve();
        going -= 1;
        served = seen;
      });
      for (const pause of pauses) {
        for (let turn = 0; turn < pause; turn += 1) await Promise.resolve();
        asked += 1;
        void rounds.again();
      }
      await rounds.done;
      expect(served).toBe(pauses.length);
    }),
  );
});

test("a round that fails ends them for those who asked, and the next who asks begins anew", async () => {
  let [rounds, fails] = [0, true];
  const some = new Rounds(async () => {
    rounds += 1;
    await Promise.resolve();
    if (fails) throw new Error("away");
  });
  const both = [some.again(), some.again()];
  expect(await Promise.allSettled(both)).toMatchObject([{ status: "rejected" }, { status: "rejected" }]);
  await some.done;
  fails = false;
  await some.again();
  expect(rounds).toBe(2);
});
