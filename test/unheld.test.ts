/** Ending runs that no worker comes to: their code is offered by nobody any more, and nobody holds them. */
import { describe, expect, it } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { Context, RunHandle, Store, Workflow } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import { fakeClock, faults } from "../src/testing.ts";
import type { FakeClock } from "../src/testing.ts";
import { childrenOf, endsOf, faultsOf, statusesOf } from "./family.ts";
import { listening, outline, silent, stage } from "./stage.ts";

function body(name: string, run: (ctx: Context) => Promise<unknown>): Workflow<undefined> {
  return workflow({ name }, run);
}

const leaf = body("leaf", (ctx) => ctx.wait("ever"));
const middle = body("middle", async (ctx) => {
  await ctx.step("one", () => 1);
  return Promise.all([ctx.call(leaf, undefined), ctx.wait("mine"), ctx.sleep("30d")]);
});
const root = body("root", (ctx) => Promise.all([ctx.call(middle, undefined), ctx.call(leaf, undefined)]));
const booking = body("booking", async (ctx) => {
  await ctx.step("seat", { compensate: () => "freed" }, () => "12A");
  return ctx.wait("paid");
});

/** Begins a run of the last of these, with all of them on offer, and leaves it at rest with nobody offering anything. */
async function begun(store: Store, clock: FakeClock, workflows: Workflow<undefined>[]): Promise<RunHandle> {
  const first = await stage(workflows, { store, clock });
  const run = await first.stemma.run(workflows.at(-1) as Workflow<undefined>, undefined);
  await clock.advance("1m");
  await first.stemma.stop();
  // A worker that stops in good order offers for as long as its last lease lasts.
  await clock.advance("1m");
  expect((await first.stemma.row(run.id)).offered).toBe(false);
  return run;
}

describe("a run that was begun and that nobody offers any more", () => {
  it("is cancelled by whoever asks for it, with those that it called before it, and no worker at all", async () => {
    const clock = fakeClock();
    await using store = sqlite(":memory:");
    const run = await begun(store, clock, [leaf, middle, root]);
    const client = new Stemma({ store, clock, log: silent });
    const by = { by: "ada", reason: "gone" };
    expect(await client.cancel(run.id, by)).toEqual({ accepted: true, status: "cancelled" });
    expect(await endsOf(client, run.id)).toEqual([
      "leaf run.cancelled",
      "middle run.cancelled",
      "leaf run.cancelled",
      "root run.cancelled",
    ]);
    expect(await faultsOf(client, run.id)).toEqual([]);
    expect((await run.history()).at(-1)).toMatchObject({ type: "run.cancelled", data: by });
    const [called] = await childrenOf(client, run.id);
    expect((await client.history(called?.id ?? "")).slice(-5)).toMatchObject([
      { type: "cancel.requested", data: { by: run.id } },
      { type: "child.ended", data: { key: "leaf", status: "cancelled" } },
      { type: "wait.withdrawn", data: { key: "mine" } },
      { type: "wait.withdrawn", data: { key: "sleep" } },
      { type: "run.cancelled", data: { by: run.id } },
    ]);
    expect((await client.waits()).waits).toEqual([]);
    expect(await client.cancel(run.id)).toEqual({ accepted: false, status: "cancelled" });
  });

  it.each(["is cancelled", "returns", "fails"])(
    "holds up nobody: the run that called it %s, and both end",
    async (how) => {
      const clock = fakeClock();
      await using store = sqlite(":memory:");
      const caller = body("caller", async (ctx) => {
        const call = ctx.call(middle, undefined);
        const word = await ctx.signal("go");
        if (word === "returns") return "done";
        if (word === "fails") throw new Error("no");
        return call;
      });
      const run = await begun(store, clock, [leaf, middle, caller]);
      await using second = await stage([caller], { store, clock });
      if (how === "is cancelled") await second.stemma.cancel(run.id, { by: "ada" });
      else await second.stemma.signal(run.id, "go", how);
      await clock.advance("1m");
      const last = { "is cancelled": "cancelled", returns: "succeeded", fails: "failed" }[how];
      expect(await endsOf(second.stemma, run.id)).toEqual([
        "leaf run.cancelled",
        "middle run.cancelled",
        `caller run.${last}`,
      ]);
      expect(await faultsOf(second.stemma, run.id)).toEqual([]);
    },
  );

  it("holds up nobody where that comes to light only when its worker's lease has run out", async () => {
    const clock = fakeClock();
    for (const goes of ["stops", "dies"]) {
      await using store = sqlite(":memory:");
      const works = body("works", (ctx) => ctx.step("work", () => new Promise(() => {})));
      const caller = body("caller", (ctx) => Promise.all([ctx.call(works, undefined), ctx.call(middle, undefined)]));
      const other = await stage([works, middle, leaf], { store, clock });
      await using second = await stage([caller], { store, clock });
      const run = await second.stemma.run(caller, undefined);
      await clock.advance("1m");
      if (goes === "stops") await other.stemma.stop({ timeout: 0 });
      else other.stemma.abandon();
      // It looks as if somebody offered them still, and where it died, as if it had one of them.
      await second.stemma.cancel(run.id);
      await clock.advance("1s");
      expect([goes, await run.status()]).toEqual([goes, "suspended"]);
      await clock.advance("5m");
      expect((await endsOf(second.stemma, run.id)).at(-1)).toBe("caller run.cancelled");
      expect(await faultsOf(second.stemma, run.id)).toEqual([]);
    }
  });

  it("costs the one that waits for its end next to nothing, however long that takes", async () => {
    const clock = fakeClock();
    await using store = sqlite(":memory:");
    const top = body("top", (ctx) => ctx.call(booking, undefined));
    const run = await begun(store, clock, [booking, top]);
    await using second = await stage([top], { store, clock });
    await second.stemma.cancel(run.id);
    await clock.advance("30d");
    const { state, worker } = await second.stemma.row(run.id);
    expect([state.status, worker]).toEqual(["suspended", undefined]);
    expect(state.seq).toBeLessThan(60);
  });

  it("waits for a called one that a worker has, and ends when that has", async () => {
    const clock = fakeClock();
    await using store = sqlite(":memory:");
    const gate = Promise.withResolvers<void>();
    const busy = body("busy", (ctx) => ctx.step("work", () => gate.promise));
    const between = body("between", (ctx) => Promise.all([ctx.call(busy, undefined), ctx.wait("mine")]));
    const top = body("top", (ctx) => ctx.call(between, undefined));
    const first = await stage([between, top], { store, clock });
    const run = await first.stemma.run(top, undefined);
    await clock.advance("1m");
    await first.stemma.stop();
    await clock.advance("1m");
    await using second = await stage([busy, top], { store, clock, abortGrace: "1h" });
    await clock.advance("1s");
    await second.stemma.cancel(run.id, { by: "ada" });
    await clock.advance("1m");
    expect(await statusesOf(second.stemma, run.id)).toEqual(["top suspended", "between suspended", "busy running"]);
    const [called] = await childrenOf(second.stemma, run.id);
    expect(called?.state.cancel).toMatchObject({ by: run.id });
    gate.resolve();
    // At once, and not when somebody looks again.
    await clock.advance("1s");
    expect(await endsOf(second.stemma, run.id)).toEqual([
      "busy run.cancelled",
      "between run.cancelled",
      "top run.cancelled",
    ]);
    expect(await faultsOf(second.stemma, run.id)).toEqual([]);
  });

  it("is left to its code where that is needed to make up for what it did, and ends when the code comes", async () => {
    const clock = fakeClock();
    await using store = sqlite(":memory:");
    const top = body("top", (ctx) => ctx.call(booking, undefined));
    const run = await begun(store, clock, [booking, top]);
    await using second = await stage([top], { store, clock });
    await second.stemma.cancel(run.id);
    await clock.advance("10m");
    expect(await statusesOf(second.stemma, run.id)).toEqual(["top suspended", "booking suspended"]);
    await using _third = await stage([booking], { store, clock });
    await clock.advance("1m");
    expect(await endsOf(second.stemma, run.id)).toEqual(["booking run.cancelled", "top run.cancelled"]);
    const [called] = await childrenOf(second.stemma, run.id);
    expect(await outline(await second.stemma.get(called?.id ?? ""))).toContain("step.succeeded compensate/seat");
  });

  it("was begun and nobody knows how it went where it was cut off: what may not be done twice is in doubt", async () => {
    const clock = fakeClock();
    const log = listening();
    await using store = sqlite(":memory:");
    const pays = body("pays", (ctx) => ctx.step("pay", { effect: "once" }, () => new Promise(() => {})));
    const first = await stage([pays], { store, clock });
    const run = await first.stemma.run(pays, undefined);
    await clock.advance("2s");
    first.stemma.abandon();
    // Its worker died with it in hand; its lease has to run out, and another worker to see it.
    await using _other = await stage([leaf], { store, clock });
    await clock.advance("1m");
    const client = new Stemma({ store, clock, log });
    await client.signal(run.id, "heard", 1, { idempotencyKey: "s1" });
    expect(await client.cancel(run.id)).toEqual({ accepted: true, status: "cancelled" });
    expect((await outline(run)).slice(-3)).toEqual(["cancel.requested", "step.in_doubt pay", "run.cancelled"]);
    expect(log.lines).toEqual([
      `warn A message answers nothing that is open ${JSON.stringify({ run: run.id, kind: "signal", key: "s1" })}`,
    ]);
  });

  it("is ended once and from the leaf on, whatever crashes, when it is asked for again", async () => {
    let crashes = 0;
    for (const point of ["commit.before", "commit.after"] as const) {
      for (let n = 1; ; n += 1) {
        const clock = fakeClock();
        const file = faults(sqlite(":memory:"));
        const top = body("top", (ctx) => ctx.call(root, undefined));
        const run = await begun(file, clock, [leaf, middle, root, top]);
        file.crash(point, n);
        const dying = await new Stemma({ store: file, workflows: [top, leaf], clock, log: silent }).start();
        const asked = dying.cancel(run.id, { by: "ada" }).then(() => clock.advance("1m"));
        const done = await Promise.race([asked.then(() => "done"), file.crashed]);
        dying.abandon();
        const next = file.next();
        const stemma = await new Stemma({ store: next, workflows: [top, leaf], clock, log: silent }).start();
        await clock.advance("1m");
        await stemma.cancel(run.id, { by: "ada" });
        await clock.advance("1m");
        const where = `${point} ${n}`;
        const order = await endsOf(stemma, run.id);
        expect(order.toSorted(), where).toEqual(
          ["leaf", "leaf", "middle", "root", "top"].map((name) => `${name} run.cancelled`),
        );
        expect(order.slice(-2), where).toEqual(["root run.cancelled", "top run.cancelled"]);
        expect(order.indexOf("leaf run.cancelled"), where).toBeLessThan(order.indexOf("middle run.cancelled"));
        expect(await faultsOf(stemma, run.id), where).toEqual([]);
        await stemma.stop();
        await next.close();
        if (done === "done") break;
        crashes += 1;
      }
    }
    expect(crashes).toBeGreaterThan(10);
  });
});
