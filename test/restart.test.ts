/** Restart and fork, as a user sees them: what runs again, what is reused, what is on record of it. */
import { expect, test } from "vitest";
import { StemmaError, workflow } from "../src/index.ts";
import type { Context, RunHandle } from "../src/index.ts";
import { around } from "../src/testing/around.ts";
import { errorOf, fresh, outline, stage, until } from "./stage.ts";

/** A workflow that counts how often each of its steps was entered. */
function counted(): { entered: string[]; enter<T>(name: string, value: T): T } {
  const entered: string[] = [];
  return {
    entered,
    enter(name, value) {
      entered.push(name);
      return value;
    },
  };
}

test("a run whose last step failed is restarted: that step runs, and nothing that succeeded runs again", async () => {
  const world = counted();
  let broken = true;
  const audit = workflow({ name: "audit" }, async (ctx, input: { dir: string }) => {
    const files = await ctx.step("list", { input: input.dir }, (dir) => world.enter("list", [`${dir}/a`, `${dir}/b`]));
    const found = await ctx.map("classify", files, { concurrency: 2 }, (file) => world.enter(`classify ${file}`, file));
    const text = await ctx.step("draft", () => world.enter("draft", "text"));
    return ctx.step("summary", { input: found }, (all) => {
      world.enter("summary", 0);
      if (broken) throw new Error("a bug");
      return `${all.length} ${text}`;
    });
  });
  await using place = await stage([audit]);
  const { stemma } = place;
  const run = await stemma.run(audit, { dir: "x" });
  expect((await errorOf(run.result())).code).toBe("run.failed");
  const before = JSON.stringify(await run.history());
  broken = false;
  world.entered.length = 0;
  const again = await stemma.restart<string>(run.id);
  expect(await again.result()).toBe("2 text");
  expect(world.entered).toEqual(["summary"]);
  expect(await outline(again)).toEqual([
    "run.created",
    "run.started",
    "step.reused list",
    "step.reused classify",
    "step.reused classify#2",
    "scope.closed",
    "step.reused draft",
    "step.succeeded summary",
    "run.succeeded",
  ]);
  expect(JSON.stringify(await run.history())).toBe(before);
});

test("a restart from a checkpoint: what was done before it had its turn there, and an equal ask behind it is another one", async () => {
  let [fetched, broken] = [0, true];
  const poll = workflow({ name: "poll" }, async (ctx: Context<number[]>) => {
    const seen = [...(ctx.restored ?? [])];
    while (seen.length < 4) {
      if (seen.length === 2 && broken) await ctx.step("breaks", { input: 0 }, () => Promise.reject(new Error("a bug")));
      seen.push(await ctx.step("fetch", { input: "page" }, () => (fetched += 1)));
      await ctx.checkpoint(seen);
    }
    return seen;
  });
  await using place = await stage([poll]);
  const { stemma } = place;
  const run = await stemma.run(poll, undefined);
  await errorOf(run.result());
  broken = false;
  const again = await stemma.restart<number[]>(run.id, { checkpoint: "last" });
  expect(await again.result()).toEqual([1, 2, 3, 4]);
  // From its own checkpoint, and from the one that it began with: the third is there, or both are.
  const own = (await again.history()).find(({ type }) => type === "checkpoint")?.seq ?? 0;
  expect(await (await stemma.restart(again.id, { checkpoint: own })).result()).toEqual([1, 2, 3, 4]);
  expect(await (await stemma.restart(again.id)).result()).toEqual([1, 2, 3, 4]);
  expect(fetched).toBe(4);
});

test("a fork at a checkpoint goes on from its state: nothing before it is asked for, nothing is copied, what is behind it runs", async () => {
  const world = counted();
  type State = { page: number; found: string[] };
  const crawl = workflow({ name: "crawl" }, async (ctx: Context<State>, input: { site: string }) => {
    let state: State = ctx.restored ?? { page: 0, found: [] };
    while (state.page < 4) {
      const { page } = state;
      const text = await ctx.step("read", { input: { page, site: input.site } }, () =>
        world.enter(`read ${page}`, `p${page}`),
      );
      const kept = await ctx.step("keep", () => world.enter(`keep ${page}`, text));
      state = { page: page + 1, found: [...state.found, kept] };
      await ctx.checkpoint(state);
    }
    return state.found;
  });
  await using place = await stage([crawl]);
  const { stemma } = place;
  const run = await stemma.run(crawl, { site: "x" });
  const found = await run.result();
  const checkpoints = (await run.history()).filter(({ type }) => type === "checkpoint");
  const second = checkpoints[1]?.seq ?? 0;
  world.entered.length = 0;
  const fork = await stemma.fork(run.id, { checkpoint: second });
  expect(await fork.result()).toEqual(found);
  expect(world.entered).toEqual(["read 2", "keep 2", "read 3", "keep 3"]);
  const [created] = await fork.history();
  expect(created?.data).toMatchObject({
    start: { run: run.id, seq: second, count: 2 },
    origin: { kind: "fork", seq: second },
  });
  // A restart from there repairs: what is behind the checkpoint is reused as far as it is the same.
  world.entered.length = 0;
  const repaired = await stemma.restart(run.id, { checkpoint: second });
  expect(await repaired.result()).toEqual(found);
  expect(world.entered).toEqual([]);
  expect((await outline(repaired)).filter((line) => line.startsWith("step.reused"))).toEqual([
    "step.reused #2/read",
    "step.reused #2/keep",
    "step.reused #3/read",
    "step.reused #3/keep",
  ]);
  // Its own checkpoints count on from there, and a fork of the fork knows where it began.
  const last = await stemma.fork(fork.id, { checkpoint: "last" });
  expect(await last.result()).toEqual(found);
  const again = await stemma.restart(fork.id);
  expect(await again.result()).toEqual(found);
  expect(world.entered).toEqual([]);
});

test("an approval is reused exactly where the same is asked about the same", async () => {
  const publish = workflow({ name: "publish" }, async (ctx, input: { text: string; tone: string }) => {
    const { ok } = (await ctx.wait("approval", { input: input.text, prompt: "Publish?" })) as { ok: boolean };
    const bare = await ctx.wait("sign", { prompt: "Sign?" });
    return [ok, bare];
  });
  await using place = await stage([publish]);
  const { stemma } = place;
  const answer = async (run: RunHandle, wait: string, value: unknown): Promise<void> => {
    await until(async () => (await stemma.waits()).waits.some(({ key }) => key === wait));
    await stemma.resume(run.id, wait, value);
  };
  const run = await stemma.run(publish, { text: "a", tone: "dry" });
  await answer(run, "approval", { ok: true });
  await answer(run, "sign", "ada");
  expect(await run.result()).toEqual([true, "ada"]);
  const same = await stemma.fork(run.id);
  expect(await same.result()).toEqual([true, "ada"]);
  // What was approved is the same; what was signed is not known to be.
  const toned = await stemma.fork(run.id, { patch: { tone: "warm" } });
  await answer(toned, "sign", "bob");
  expect(await toned.result()).toEqual([true, "bob"]);
  const other = await stemma.fork(run.id, { patch: { text: "b" } });
  await answer(other, "approval", { ok: false });
  await answer(other, "sign", "eve");
  expect(await other.result()).toEqual([false, "eve"]);
});

test("a map of 100, four at a time, whose third item fails is restarted: that item runs, and what consumes it", async () => {
  const world = counted();
  let broken = true;
  const wf = workflow({ name: "many" }, async (ctx) => {
    const items = Array.from({ length: 100 }, (_, i) => i);
    const squares = await ctx.map("square", items, { concurrency: 4 }, (n) => {
      if (n === 2 && broken) throw new Error("no");
      return world.enter(`square ${n}`, n * n);
    });
    return ctx.step("sum", { input: squares }, (all) =>
      world.enter(
        "sum",
        all.reduce((a, b) => a + b, 0),
      ),
    );
  });
  await using place = await stage([wf]);
  const { stemma } = place;
  const run = await stemma.run(wf, undefined);
  await errorOf(run.result());
  expect(world.entered).toHaveLength(99);
  broken = false;
  world.entered.length = 0;
  const again = await stemma.restart(run.id);
  expect(await again.result()).toBe(328_350);
  expect(world.entered).toEqual(["square 2", "sum"]);
});

test("three restarts in a row, of which the middle one dies at once: nothing is paid for twice", async () => {
  const world = counted();
  let state = "broken";
  const wf = workflow({ name: "line" }, async (ctx) => {
    if (state === "worse") throw new Error("dies at once");
    const a = await ctx.step("a", { input: 1 }, () => world.enter("a", 1));
    const b = await ctx.step("b", { input: 2 }, () => world.enter("b", 2));
    return ctx.step("c", { input: 3 }, () => {
      if (state === "broken") throw new Error("no");
      return world.enter("c", a + b);
    });
  });
  await using place = await stage([wf]);
  const { stemma } = place;
  const first = await stemma.run(wf, undefined);
  await errorOf(first.result());
  state = "worse";
  const second = await stemma.restart(first.id);
  await errorOf(second.result());
  state = "well";
  const third = await stemma.restart(second.id);
  expect(await third.result()).toBe(3);
  expect(world.entered).toEqual(["a", "b", "c"]);
});

test("a failure that the body survived is that failure again, and the way behind it is the same", async () => {
  const world = counted();
  let flaky = true;
  let broken = true;
  const wf = workflow({ name: "survivor" }, async (ctx) => {
    let text: string;
    try {
      text = await ctx.step("first", { input: 1 }, () => {
        world.enter("first", 0);
        if (flaky) throw new Error("overloaded");
        return "first";
      });
    } catch {
      text = await ctx.step("second", { input: 1 }, () => world.enter("second", "second"));
    }
    return ctx.step("last", { input: text }, () => {
      if (broken) throw new Error("no");
      return world.enter("last", text);
    });
  });
  await using place = await stage([wf]);
  const { stemma } = place;
  const run = await stemma.run(wf, undefined);
  await errorOf(run.result());
  [flaky, broken] = [false, false];
  world.entered.length = 0;
  const again = await stemma.restart(run.id);
  expect(await again.result()).toBe("second");
  expect(world.entered).toEqual(["last"]);
});

test("a store that is away for a moment while a restart looks things up holds it up, and does not set it aside", async () => {
  const world = counted();
  let broken = true;
  const wf = workflow({ name: "away" }, async (ctx) => {
    await ctx.step("a", { input: 1 }, () => world.enter("a", 1));
    if (!broken) await ctx.step("new", { input: 3 }, () => world.enter("new", 3));
    return ctx.step("b", { input: 2 }, () => {
      if (broken) throw new Error("no");
      return world.enter("b", 2);
    });
  });
  await using inner = fresh();
  let outages = 0;
  const store = around(
    inner,
    async ({ method, make }) => {
      if (method === "reusable" && (outages += 1) <= 2) throw new StemmaError("store.unavailable", "Away.");
      return make();
    },
    {},
  );
  await using place = await stage([wf], { store });
  const { stemma } = place;
  const run = await stemma.run(wf, undefined);
  await errorOf(run.result());
  broken = false;
  const again = await stemma.restart(run.id);
  expect(await again.result()).toBe(2);
  expect(world.entered).toEqual(["a", "new", "b"]);
  expect(outages).toBeGreaterThan(2);
});
