/**
 * The invariants that the product stands on, each with a test that can fail. Those that only hard evidence can show
 * (kill -9, power cuts, random programs) have more in test/crash, test/power-cut and test/recall.
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { components, trace } from "../src/core/trace.ts";
import { reduceAll } from "../src/core/reduce.ts";
import { readHistory } from "../src/engine/history-pages.ts";
import { Stemma, workflow } from "../src/index.ts";
import type { Store } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import { fakeClock } from "../src/testing.ts";
import { live, turnClock } from "./recall/life.ts";
import { programs } from "./recall/program.ts";
import { Appender } from "../src/engine/appender.ts";
import { errorOf, fresh, listening, outline, silent, stage, until } from "./stage.ts";

function folder(): { path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), "stemma-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** The same store with one method seen or changed. */
function withMethod<M extends keyof Store>(store: Store, name: M, method: (original: Store[M]) => Store[M]): Store {
  const original = (store[name] as (...args: unknown[]) => unknown).bind(store) as Store[M];
  const changed = method(original);
  return new Proxy(store, {
    get: (target, key) => {
      if (key === name) return changed;
      const value = Reflect.get(target, key) as unknown;
      return typeof value === "function" ? (value as (...a: unknown[]) => unknown).bind(target) : value;
    },
  });
}

describe("I1 connected", () => {
  it("the trace has one component after every event, whatever the program and wherever it crashed", async () => {
    const clock = turnClock();
    const store = fresh({ now: () => clock.now() });
    let n = 0;
    await fc.assert(
      fc.asyncProperty(programs, fc.nat(6), fc.boolean(), async (program, commit, applied) => {
        const { events } = await live({
          store,
          clock,
          name: `i1-${(n += 1)}`,
          program,
          crashes: [{ commit, applied }],
        });
        for (let end = 1; end <= events.length; end += 1) {
          expect(components(trace([{ run: "run_x", events: events.slice(0, end) }]))).toBe(1);
        }
      }),
      { numRuns: 300 },
    );
    clock.stop();
    await store.close();
  });
});

describe("I3 durable", () => {
  it("when code sees an outcome, another connection to the file reads it", async () => {
    using dir = folder();
    const path = join(dir.path, "stemma.db");
    const other = sqlite(path);
    const missing: string[] = [];
    const definition = workflow({ name: "seen" }, async (ctx) => {
      for (const name of ["a", "b", "c"]) {
        await ctx.step(name, () => name);
        const { events } = await readHistory(other, ctx.runId);
        if (!events.some((event) => event.type === "step.succeeded" && event.data.key === name)) missing.push(name);
      }
      return "done";
    });
    const store = sqlite(path);
    await using theatre = await stage([definition], { store });
    expect(await (await theatre.stemma.run(definition, undefined)).result()).toBe("done");
    expect(missing).toEqual([]);
    await other.close();
  });
});

describe("I4 never twice", () => {
  it("a once function that a crash cut off is not entered again: the run waits in doubt", async () => {
    const clock = fakeClock();
    const store = fresh();
    let entered = 0;
    const definition = workflow({ name: "pays" }, async (ctx) => {
      await ctx.step("before", () => 1);
      return ctx.step("charge", { effect: "once" }, () => {
        entered += 1;
        return new Promise(() => {});
      });
    });
    const first = await stage([definition], { store, clock });
    const run = await first.stemma.run(definition, undefined);
    await until(() => entered === 1);
    first.stemma.abandon();
    await using _second = await stage([definition], { store, clock });
    await clock.advance("1m");
    expect((await store.list({ ids: [run.id] })).runs[0]?.state.reason).toBe("in_doubt");
    expect(entered).toBe(1);
    expect((await outline(run)).slice(-3)).toEqual(["run.started", "step.in_doubt charge", "run.suspended"]);
  });

  it("a once function is entered only after its intent is on record", async () => {
    const store = fresh();
    let recorded: string[] = [];
    const definition = workflow({ name: "intends" }, async (ctx) =>
      ctx.step("charge", { effect: "once" }, async () => {
        recorded = (await readHistory(store, ctx.runId)).events.map((event) => event.type);
      }),
    );
    await using theatre = await stage([definition], { store });
    await (await theatre.stemma.run(definition, undefined)).result();
    expect(recorded).toEqual(["run.created", "run.started", "step.started"]);
  });

  it("a once function that throws leaves the run in doubt, with the error on record", async () => {
    const definition = workflow({ name: "throws" }, async (ctx) =>
      ctx.step("charge", { effect: "once" }, () => {
        throw new Error("connection reset");
      }),
    );
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await until(async () => (await run.status()) === "suspended");
    const doubt = (await run.history()).find((event) => event.type === "step.in_doubt");
    expect(doubt?.data).toMatchObject({ key: "charge", error: { message: "connection reset" } });
  });
});

describe("I5 one writer", () => {
  it("a worker whose lease ran out cannot append what it finished too late; the run goes on without it", async () => {
    let skipped = 0;
    const store = fresh({ now: () => Date.now() + skipped });
    const slow = Promise.withResolvers<string>();
    const log = listening();
    let entries = 0;
    const definition = workflow({ name: "contested" }, async (ctx) =>
      ctx.step("work", () => ((entries += 1) === 1 ? slow.promise : "from the second")),
    );
    const first = await stage([definition], { store, log });
    const run = await first.stemma.run(definition, undefined);
    await until(() => entries === 1);
    skipped = 60_000;
    await using second = await stage([definition], { store });
    expect(await (await second.stemma.get(run.id)).result()).toBe("from the second");
    const before = await run.history();
    slow.resolve("from the first");
    // Told by its commit, or, where the machine was slow, by its heartbeat before.
    await until(() => log.lines.some((line) => /lost to another worker|lease of this worker had run out/.test(line)));
    expect(await run.history()).toEqual(before);
    await first.stemma.stop({ timeout: 0 });
  });

  it("of two workers on one store, each run is worked on by one", async () => {
    const store = fresh();
    const entered: string[] = [];
    const definition = workflow({ name: "shared" }, async (ctx, input: number) =>
      ctx.step("work", async () => {
        entered.push(ctx.runId);
        await new Promise((resolve) => setTimeout(resolve, 5));
        return input;
      }),
    );
    await using one = await stage([definition], { store });
    await using _two = await stage([definition], { store });
    const runs = await Promise.all(Array.from({ length: 50 }, (_, i) => one.stemma.run(definition, i)));
    expect(await Promise.all(runs.map((run) => run.result()))).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(entered.toSorted()).toEqual(runs.map((run) => run.id).toSorted());
  });
});

describe("I6 source immutable", () => {
  it("looking at a run in every way there is changes no byte of the file", async () => {
    using dir = folder();
    const path = join(dir.path, "stemma.db");
    const definition = workflow({ name: "looked-at" }, async (ctx) => ctx.map("m", [1, 2, 3], (n) => n * 2));
    {
      await using theatre = await stage([definition], { store: sqlite(path) });
      await (await theatre.stemma.run(definition, undefined)).result();
      await theatre.stemma.stop();
      await theatre.stemma.store.close();
    }
    const bytes = (): string[] =>
      readdirSync(dir.path)
        .filter((name) => !name.endsWith("-shm"))
        .map((name) => `${name} ${readFileSync(join(dir.path, name)).toString("base64")}`)
        .filter((file) => file !== "stemma.db-wal ");
    const before = bytes();
    const stemma = new Stemma({ store: sqlite(path), log: silent });
    const [row] = (await stemma.list()).runs;
    const run = await stemma.get(row?.id ?? "");
    await run.status();
    await run.result();
    await run.trace();
    await run.history();
    for await (const _ of run.events());
    await stemma.trace(run.id, { family: true });
    await stemma.store.feed({ after: 0, limit: 100 });
    await stemma.stop();
    await stemma.store.close();
    expect(bytes()).toEqual(before);
  });
});

describe("I8 one status", () => {
  it("row, list, handle, history and trace say the same after every commit", async () => {
    const inner = fresh();
    const seen = new Set<string>();
    const store = withMethod(inner, "commit", (commit) => async (parts) => {
      const results = await commit(parts);
      for (const { run } of parts) {
        const { row, events } = await readHistory(inner, run);
        const folded = reduceAll(events);
        expect(row.state).toEqual(folded);
        expect((await inner.list({ status: [folded.status] })).runs.map(({ id }) => id)).toContain(run);
        expect(trace([{ run, events }]).nodes[0]).toMatchObject({ kind: "run", status: folded.status });
        seen.add(folded.status);
      }
      return results;
    });
    const good = workflow({ name: "good" }, async (ctx) => {
      await ctx.step("a", () => 1);
      await ctx.signal("go");
      return ctx.step("b", () => 2);
    });
    const bad = workflow({ name: "bad" }, async (ctx) => ctx.step("c", () => Promise.reject(new Error("no"))));
    await using theatre = await stage([good, bad], { store }, { lingerMs: 10 });
    const one = await theatre.stemma.run(good, undefined);
    const two = await theatre.stemma.run(bad, undefined);
    await until(() => seen.has("suspended"));
    await theatre.stemma.signal(one.id, "go");
    await one.result();
    await errorOf(two.result());
    expect([await one.status(), await two.status()]).toEqual(["succeeded", "failed"]);
    expect([...seen].toSorted()).toEqual(["failed", "running", "succeeded", "suspended"]);
  });
});

describe("I10 no silence", () => {
  it("a history that cannot be read suspends its run as corrupt and says so", async () => {
    const inner = fresh();
    const definition = workflow({ name: "damaged" }, async (ctx) => ctx.step("a", () => 1));
    const client = new Stemma({ store: inner, log: silent });
    const run = await client.run(definition, undefined);
    const store = withMethod(inner, "history", (history) => async (id, page) => {
      const answer = await history(id, page);
      return answer && { ...answer, events: answer.events.map((event) => ({ ...event, hash: "0".repeat(64) })) };
    });
    const log = listening();
    await using _theatre = await stage([definition], { store, log });
    await until(async () => (await run.status()) === "suspended");
    expect((await inner.list({ ids: [run.id] })).runs[0]?.state.reason).toBe("corrupt");
    expect(log.lines.join()).toContain("cannot be read");
  });

  it("an event of a newer version is refused and left to those who know it", async () => {
    const inner = fresh();
    const definition = workflow({ name: "future" }, async (ctx) => ctx.step("a", () => 1));
    const client = new Stemma({ store: inner, log: silent });
    const run = await client.run(definition, undefined);
    const store = withMethod(inner, "history", (history) => async (id, page) => {
      const answer = await history(id, page);
      return answer && { ...answer, events: answer.events.map((event) => ({ ...event, type: "run.teleported" })) };
    });
    const log = listening();
    {
      await using _theatre = await stage([definition], { store, log });
      await until(() => log.lines.some((line) => line.includes("run.teleported")));
    }
    expect(await outline(run)).toEqual(["run.created"]);
    expect((await inner.list({ ids: [run.id] })).runs[0]).not.toHaveProperty("worker");
  });

  it("a state in a form of a newer version is refused and left to those who know it", async () => {
    const store = fresh();
    const definition = workflow({ name: "future" }, (ctx) => ctx.step("a", () => 1));
    const client = new Stemma({ store, log: silent });
    const run = await client.run(definition, undefined);
    const offers = [{ workflow: "future", version: 1, fingerprint: "f" }];
    const [row] = (await store.claim({ worker: "newer", offers, limit: 1, leaseMs: 10_000 })).runs;
    if (row === undefined) throw new Error("nothing was claimed");
    const appender = new Appender(row, row.state.createdAt, () => Date.now());
    appender.append({ type: "run.started", data: { worker: "newer", epoch: 1, fingerprint: "f" }, causes: [0] });
    const state = { tree: 99, digest: "0".repeat(64), bytes: 9 };
    appender.append({ type: "checkpoint", data: { state, parent: null }, causes: [1] });
    await store.commit([appender.take({ dueAt: Date.now(), force: true }).commit]);
    const before = await run.history();
    const log = listening();
    {
      await using _theatre = await stage([definition], { store, log });
      await until(() => log.lines.some((line) => line.includes("form 99")));
    }
    // It can be looked at, and nobody went on from it.
    expect(await run.history()).toEqual(before);
    expect(await client.stateAt(run.id, 2)).toMatchObject({ status: "running", checkpoint: { seq: 2, count: 1 } });
    expect((await store.list({ ids: [run.id] })).runs[0]).not.toHaveProperty("worker");
    await store.close();
  });

  it("what a run that is over asks for is logged once and gets no answer", async () => {
    const log = listening();
    const late = Promise.withResolvers<void>();
    let answered = false;
    const definition = workflow({ name: "late" }, async (ctx) => {
      void late.promise.then(() => ctx.step("late", () => (answered = true)));
      void late.promise.then(() => ctx.step("later", () => (answered = true)));
      return "done";
    });
    await using theatre = await stage([definition], { log });
    const run = await theatre.stemma.run(definition, undefined);
    await run.result();
    late.resolve();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(answered).toBe(false);
    expect(log.lines.filter((line) => line.includes("asked for more"))).toHaveLength(1);
    expect(await outline(run)).toEqual(["run.created", "run.started", "run.succeeded"]);
  });
});

describe("I12 isolation", () => {
  it("runs side by side see nothing of each other, also when some fail", async () => {
    const definition = workflow({ name: "alone" }, async (ctx, input: number) => {
      const list = await ctx.step("list", () => [input]);
      // The value is the body's own copy: changing it changes neither the record nor any other run.
      list.push(-1);
      const again = await ctx.step("again", { input: [input] }, (given) => {
        given.push(input * 10);
        return given;
      });
      if (input % 7 === 0) throw new Error(`failed ${input}`);
      return { list, again, random: ctx.random(), id: ctx.uuid() };
    });
    await using theatre = await stage([definition]);
    const runs = await Promise.all(Array.from({ length: 60 }, (_, i) => theatre.stemma.run(definition, i)));
    const results = await Promise.allSettled(runs.map((run) => run.result()));
    const ids = new Set<string>();
    for (const [i, result] of results.entries()) {
      if (i % 7 === 0) {
        expect(result).toMatchObject({ status: "rejected", reason: { cause: { message: `failed ${i}` } } });
        continue;
      }
      expect(result).toMatchObject({ status: "fulfilled", value: { list: [i, -1], again: [i, i * 10] } });
      if (result.status === "fulfilled") ids.add(result.value.id);
      const step = (await (runs[i] as (typeof runs)[number]).history()).find(
        (event) => event.type === "step.succeeded",
      );
      expect(step?.data).toMatchObject({ output: { inline: [i] } });
    }
    expect(ids.size).toBe(results.filter((result) => result.status === "fulfilled").length);
  });

  it("an activation that was dropped runs no catch and no finally", async () => {
    let ran = false;
    const definition = workflow({ name: "dropped" }, async (ctx) => {
      try {
        await ctx.step("never", () => new Promise(() => {}));
      } catch {
        ran = true;
      } finally {
        ran = true;
      }
    });
    const theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await until(async () => (await run.status()) === "running");
    theatre.stemma.abandon();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(ran).toBe(false);
  });
});
