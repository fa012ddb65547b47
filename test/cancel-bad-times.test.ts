/** Cancelling at bad times: in recall, while paused, with other code, and with a crash at every commit. */
import { describe, expect, it } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { Context, RunHandle, StepTools, Workflow } from "../src/index.ts";
import { fakeClock } from "../src/testing.ts";
import type { FakeClock } from "../src/testing.ts";
import { atEveryCommit, childrenOf, endsOf, faultsOf } from "./family.ts";
import { crashStride, errorOf, fresh, outline, silent, stage, until } from "./stage.ts";

function body(name: string, run: (ctx: Context) => Promise<unknown>, timeout?: string): Workflow<undefined> {
  return workflow({ name, ...(timeout === undefined ? {} : { timeout }) }, run);
}

const deaf = (): Promise<never> => new Promise(() => {});

/** Settles when the attempt is told to stop, as `fetch` does. */
const obedient = (_: unknown, { abort }: StepTools): Promise<never> =>
  new Promise((_resolve, reject) => {
    abort.addEventListener("abort", () => reject(abort.reason as Error));
  });

const waits = body("waits", (ctx) => ctx.wait("ever"));

const suspended = async (run: RunHandle): Promise<void> => until(async () => (await run.status()) === "suspended");

describe("a cancel that comes at a bad time", () => {
  const twoSteps = (second: () => Promise<unknown>): Workflow<undefined> =>
    body("changed", async (ctx) => {
      await ctx.step("one", () => 1);
      return ctx.step("two", second);
    });

  it("in the middle of recall ends the run, and what the body says afterwards counts for nothing", async () => {
    await using store = fresh();
    const gate = Promise.withResolvers<void>();
    let lives = 0;
    let entered = 0;
    const slow = body("slow", async (ctx) => {
      lives += 1;
      await ctx.step("one", () => 1);
      if (lives > 1) await gate.promise;
      await ctx.wait("first");
      await ctx.step("after", () => (entered += 1));
    });
    const first = await stage([slow], { store });
    const run = await first.stemma.run(slow, undefined);
    await suspended(run);
    await first.stemma.stop();
    await using second = await stage([slow], { store });
    await second.stemma.resume(run.id, "first", 1).catch(() => undefined);
    await until(() => lives === 2);
    await second.stemma.cancel(run.id, { by: "ada" });
    const error = await errorOf((await second.stemma.get(run.id)).result());
    expect(error).toMatchObject({ code: "run.cancelled" });
    gate.resolve();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(entered).toBe(0);
    expect(await faultsOf(second.stemma, run.id)).toEqual([]);
  });

  it("ends a run whose code has changed, called or not", async () => {
    const clock = fakeClock();
    await using store = fresh();
    const parent = body("parent", (ctx) => ctx.call(twoSteps(deaf), undefined));
    const first = await stage([twoSteps(deaf), parent], { store, clock });
    const run = await first.stemma.run(twoSteps(deaf), undefined);
    const above = await first.stemma.run(parent, undefined);
    await clock.settle();
    first.stemma.abandon();
    const other = body("changed", async (ctx) => {
      await ctx.step("uno", () => 1);
      return "never";
    });
    await using second = await stage([other, parent], { store, clock });
    await clock.advance("1m");
    const [child] = await childrenOf(second.stemma, above.id);
    for (const id of [run.id, child?.id ?? ""])
      expect(await second.stemma.row(id)).toMatchObject({ state: { status: "suspended", reason: "divergence" } });
    expect(await second.stemma.cancel(run.id, { by: "ada" })).toMatchObject({ accepted: true });
    await clock.advance("1m");
    expect((await second.stemma.history(run.id)).slice(-2)).toMatchObject([
      { type: "cancel.requested", data: { by: "ada" } },
      { type: "run.cancelled", data: { by: "ada" } },
    ]);
    await second.stemma.cancel(above.id);
    await clock.advance("1m");
    expect(await endsOf(second.stemma, above.id)).toEqual(["changed run.cancelled", "parent run.cancelled"]);
    expect(await faultsOf(second.stemma, above.id)).toEqual([]);
    await second.stemma.stop();
  });

  it("ends a run that is paused, with the runs that it called", async () => {
    const clock = fakeClock();
    const parent = body("parent", (ctx) => Promise.all([ctx.call(waits, undefined), ctx.step("work", obedient)]));
    await using theatre = await stage([parent, waits], { clock });
    const { stemma } = theatre;
    for (const when of ["in flight", "at rest"]) {
      const run = await stemma.run(parent, undefined);
      await clock.advance("1s");
      await stemma.pause(run.id, { by: "ada" });
      await clock.advance("1s");
      if (when === "at rest") await stemma.cancel((await childrenOf(stemma, run.id))[0]?.id ?? "");
      await run.cancel({ by: "bob" });
      await clock.advance("1m");
      expect(await endsOf(stemma, run.id)).toEqual(["waits run.cancelled", "parent run.cancelled"]);
      expect(await faultsOf(stemma, run.id)).toEqual([]);
    }
  });

  it("waits for the runs that a paused run called, however long they take", async () => {
    const clock = fakeClock();
    const stubborn = body("stubborn", (ctx) => ctx.step("work", deaf));
    const parent = body("parent", (ctx) => ctx.call(stubborn, undefined));
    await using theatre = await stage([parent, stubborn], { clock });
    const run = await theatre.stemma.run(parent, undefined);
    await clock.advance("1s");
    await theatre.stemma.pause(run.id);
    await clock.advance("1s");
    await run.cancel();
    await clock.advance("1m");
    expect(await endsOf(theatre.stemma, run.id)).toEqual(["stubborn run.cancelled", "parent run.cancelled"]);
    expect(await faultsOf(theatre.stemma, run.id)).toEqual([]);
  });

  it("is heard before anything begins, when the body has to be told again for what it makes up for", async () => {
    const clock = fakeClock();
    await using store = fresh();
    const begun: string[] = [];
    const definition = body("compensated", async (ctx) => {
      await ctx.step("book", { compensate: () => begun.push("compensate") }, () => 1);
      await ctx.step("work", () => {
        begun.push("work");
        return deaf();
      });
    });
    const first = await stage([definition], { store, clock });
    const run = await first.stemma.run(definition, undefined);
    await clock.settle();
    first.stemma.abandon();
    const client = new Stemma({ store, clock, log: silent });
    await client.cancel(run.id, { by: "ada" });
    await using _second = await stage([definition], { store, clock });
    await clock.advance("2m");
    expect(await (await client.get(run.id)).status()).toBe("cancelled");
    expect(begun).toEqual(["work", "compensate"]);
  });

  it.each(["returned", "failed", "run out of time"])(
    "when the body has %s and what it left behind takes its time, counts: the run ends cancelled, and makes up for what it did",
    async (how) => {
      const clock = fakeClock();
      for (const when of ["in hand", "at rest"]) {
        const made: string[] = [];
        const gate = Promise.withResolvers<void>();
        // The called run holds up its caller until it gives in.
        const stubborn = body("stubborn", (ctx) => ctx.step("work", () => gate.promise));
        const parent = body(
          "parent",
          async (ctx) => {
            await ctx.step("book", { compensate: () => void made.push("freed") }, () => "12A");
            const left = ctx.call(stubborn, undefined);
            await ctx.sleep("1s");
            if (how === "run out of time") return left;
            if (how === "failed") throw new Error("no");
            return "done";
          },
          how === "run out of time" ? "1s" : "1h",
        );
        await using theatre = await stage([parent, stubborn], { clock, abortGrace: "2h" });
        const run = await theatre.stemma.run(parent, undefined);
        await clock.advance(when === "in hand" ? 1010 : 1500);
        expect((await theatre.stemma.row(run.id)).worker === undefined).toBe(when === "at rest");
        expect(await run.cancel({ by: "ada", reason: "enough" })).toMatchObject({ accepted: true });
        // While it is in hand, what it waits for comes to an end before it was given back.
        await clock.advance(when === "in hand" ? 5 : 60_000);
        gate.resolve();
        await clock.advance("1m");
        const row = await theatre.stemma.row(run.id);
        expect([when, row.state.status]).toEqual([when, "cancelled"]);
        expect((await run.history()).at(-1)).toMatchObject({ data: { by: "ada", reason: "enough" } });
        expect((await endsOf(theatre.stemma, run.id)).at(-1)).toBe("parent run.cancelled");
        expect(made).toEqual(["freed"]);
        expect(await faultsOf(theatre.stemma, run.id)).toEqual([]);
      }
    },
  );

  it("counts although the time of the run is up before it has ended", async () => {
    const clock = fakeClock();
    const gate = Promise.withResolvers<void>();
    const stubborn = body("stubborn", (ctx) => ctx.step("work", () => gate.promise));
    const parent = body("parent", (ctx) => ctx.call(stubborn, undefined), "1m");
    await using theatre = await stage([parent, stubborn], { clock, abortGrace: "2h" });
    const run = await theatre.stemma.run(parent, undefined);
    await clock.advance("50s");
    await run.cancel({ by: "ada" });
    await clock.advance("1h");
    gate.resolve();
    await clock.advance("1m");
    expect(await endsOf(theatre.stemma, run.id)).toEqual(["stubborn run.cancelled", "parent run.cancelled"]);
  });

  it("and crashes at any commit ends all of them, once, the leaf first", async () => {
    const leaf = body("leaf", (ctx) => ctx.step("work", obedient));
    const parent = body("parent", (ctx) => Promise.all([ctx.call(leaf, undefined), ctx.call(waits, undefined)]));
    const story = async (stemma: Stemma, clock: FakeClock): Promise<string> => {
      const run = await stemma.run(parent, undefined, { idempotencyKey: "one" });
      await clock.advance("10s");
      await stemma.cancel(run.id, { by: "ada" });
      await clock.advance("1m");
      return run.id;
    };
    const crashes = await atEveryCommit([leaf, parent, waits], story, async (stemma, run, where) => {
      const order = await endsOf(stemma, run);
      expect(order.toSorted(), where).toEqual(["leaf", "parent", "waits"].map((name) => `${name} run.cancelled`));
      expect(order.at(-1), where).toBe("parent run.cancelled");
      expect((await stemma.row(run)).state.cancel, where).toEqual({ by: "ada" });
      expect(await faultsOf(stemma, run), where).toEqual([]);
      const lines = await outline(await stemma.get(run));
      expect(
        lines.filter((line) => line === "cancel.requested"),
        where,
      ).toHaveLength(1);
    });
    expect(crashes).toBeGreaterThan(8 / crashStride);
  });
});
