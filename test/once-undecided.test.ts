/** Forks of which one waits for a decision about a `once` step that another one has to do as well. */
import { expect, test } from "vitest";
import type { Event, RunHandle, Stemma } from "../src/index.ts";
import { workflow } from "../src/index.ts";
import { stage, until } from "./stage.ts";

function paying(): { pay: ReturnType<typeof workflow<{ amount: number }, string>>; charges: number[] } {
  const charges: number[] = [];
  const pay = workflow({ name: "pay" }, (ctx, input: { amount: number }) =>
    ctx.step("charge", { input: input.amount, effect: "once" }, (amount) => {
      charges.push(amount);
      return `receipt ${charges.length} of ${amount}`;
    }),
  );
  return { pay, charges };
}

async function doubts(run: RunHandle): Promise<unknown[]> {
  const events: readonly Event[] = await run.history();
  return events.flatMap(({ type, data }) => (type === "step.in_doubt" ? [data.held] : []));
}

/** A run that has charged, a fork with another amount that waits for a decision, and one more of that amount. */
async function twoForks(
  stemma: Stemma,
  pay: ReturnType<typeof paying>["pay"],
  allowEffects: readonly string[],
): Promise<{ source: RunHandle; first: RunHandle<string>; second: RunHandle<string> }> {
  const source = await stemma.run(pay, { amount: 5 });
  await source.result();
  const first = await stemma.fork<string>(source.id, { patch: { amount: 7 } });
  await until(async () => (await first.status()) === "suspended");
  const second = await stemma.fork<string>(source.id, { patch: { amount: 7 }, allowEffects });
  await until(async () => (await second.status()) === "suspended");
  return { source, first, second };
}

test("a fork says which run has to be decided before it, also where it may do the step itself", async () => {
  const { pay, charges } = paying();
  await using place = await stage([pay]);
  const { first, second } = await twoForks(place.stemma, pay, ["charge"]);
  expect(await doubts(second)).toEqual([{ run: first.id, why: "undecided" }]);
  expect(charges).toEqual([5]);
});

test("it goes on when that run is cancelled: at once where it may, and with a question of its own where not", async () => {
  const cases = [["charge"], []].flatMap((allowed) => [0, 64].map((warm) => ({ allowed, warm })));
  for (const { allowed, warm } of cases) {
    const { pay, charges } = paying();
    await using place = await stage([pay], { warm });
    const { stemma } = place;
    const { source, first, second } = await twoForks(stemma, pay, allowed);
    await stemma.cancel(first.id);
    if (allowed.length === 0) {
      const held = { run: source.id, why: "done with another input" };
      await until(async () => (await doubts(second)).length === 2);
      expect((await doubts(second))[1]).toEqual(held);
      await stemma.decide(second.id, "charge", "run");
    }
    expect(await second.result()).toBe("receipt 2 of 7");
    expect(charges).toEqual([5, 7]);
  }
});

test("when that run is decided to do it, it is done there, and the fork has its receipt", async () => {
  const { pay, charges } = paying();
  await using place = await stage([pay]);
  const { stemma } = place;
  const { first, second } = await twoForks(stemma, pay, []);
  await stemma.decide(first.id, "charge", "run");
  expect(await first.result()).toBe("receipt 2 of 7");
  expect(await second.result()).toBe("receipt 2 of 7");
  expect(charges).toEqual([5, 7]);
});

test("what somebody says of the fork itself holds at once", async () => {
  const { pay, charges } = paying();
  await using place = await stage([pay]);
  const { stemma } = place;
  const { first, second } = await twoForks(stemma, pay, []);
  await stemma.decide(second.id, "charge", { record: "paid in cash" });
  expect(await second.result()).toBe("paid in cash");
  expect(await first.status()).toBe("suspended");
  expect(charges).toEqual([5]);
});
