/** A family goes to a file and to another store with everything that belongs to it; a file that is not right changes nothing. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { Context, OpenFile, RunHandle, Store } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import { around } from "../src/testing/around.ts";
import { folder } from "./behaviours/graph.ts";
import { errorOf, fresh, onPostgres, silent, until } from "./stage.ts";

const entered: string[] = [];
const leaf = workflow({ name: "leaf" }, (ctx, n: number) => ctx.step("work", { input: n }, () => "é".repeat(n)));
const tree = workflow({ name: "tree" }, async (ctx: Context<{ big: string[] }>, n: number) => {
  if (ctx.restored === undefined) {
    await ctx.step("pay", { input: n, effect: "once" }, () => entered.push("pay"));
    await ctx.checkpoint({ big: Array.from({ length: 80 }, (_, i) => `${i}${"x".repeat(60)}`) });
  }
  const called = await ctx.call(leaf, 2000);
  await ctx.step("counted", { input: n }, () => entered.push("counted"));
  if (broken) throw new Error("a bug");
  return called.length;
});
const asking = workflow({ name: "asking" }, (ctx) => ctx.wait("question"));
const signalled = workflow({ name: "signalled" }, (ctx) => ctx.signal("go"));
let broken = true;

const store = fresh();
const workflows = [leaf, tree, asking, signalled];
const stemma = new Stemma({ store, workflows, log: silent }, { lingerMs: 10 });
let source: RunHandle;
let open: RunHandle;
let text = "";

const textOf = async (from: Stemma, run: string): Promise<string> => {
  let all = "";
  for await (const part of from.export(run)) all += part;
  return all;
};
/** A file in memory, read a few characters at a time. */
const fileOf = (content: string, at = 1000): OpenFile =>
  async function* () {
    for (let from = 0; from < content.length; from += at) yield content.slice(from, from + at);
  };
/** The same lines with a right last one, as somebody makes it who knows the form. */
function sealedAgain(lines: readonly string[]): string {
  const body = lines
    .slice(0, -1)
    .map((line) => `${line}\n`)
    .join("");
  const count = (kind: string): number => lines.filter((line) => line.startsWith(`{"${kind}"`)).length;
  const counts = { runs: count("run"), events: count("event"), payloads: count("payload") };
  return `${body}${JSON.stringify({ end: { ...counts, digest: createHash("sha256").update(body).digest("hex") } })}\n`;
}
const empty = async (target: Store): Promise<boolean> => (await target.list({ limit: 1 })).runs.length === 0;

beforeAll(async () => {
  await stemma.start();
  source = await stemma.run(tree, 7, { tags: ["eu"] });
  await source.result().catch(() => {});
  broken = false;
  const again = await stemma.restart(source.id, { reason: "mended" });
  await again.result();
  await stemma.golden(again.id, { by: "ada" });
  open = await stemma.run(asking, undefined);
  await until(async () => (await open.status()) === "suspended");
  await stemma.stop();
  text = await textOf(stemma, source.id);
});
afterAll(() => store.close());

describe("a family", () => {
  // Where this file runs a second time, it goes from PostgreSQL to SQLite and back.
  it("is on another store what it was, down to the byte, and taking it in again changes nothing", async () => {
    await using first = sqlite(":memory:");
    await using second = fresh();
    const [a, b] = [new Stemma({ store: first }), new Stemma({ store: second })];
    const taken = await a.import(fileOf(text));
    expect(taken).toMatchObject({ family: source.id, there: [] });
    expect(taken.runs).toHaveLength(4);
    expect(await a.verify()).toMatchObject({ ok: true, flaws: [], runs: 4, events: taken.events });
    expect(await textOf(a, source.id)).toBe(text);
    await b.import(fileOf(await textOf(a, source.id)));
    expect(await textOf(b, source.id)).toBe(text);
    expect(await a.import(fileOf(text))).toMatchObject({ runs: [], there: taken.runs, events: 0 });
    expect((await a.goldens()).map(({ by }) => by)).toEqual(["ada"]);
    expect((await a.list({ tag: "eu" })).runs.map(({ id }) => id)).toContain(source.id);
  });

  it("can be restarted and forked there: what succeeded is reused, and what happens once does not happen again", async () => {
    await using target = sqlite(":memory:");
    await using there = await new Stemma({ store: target, workflows, log: silent }, { lingerMs: 10 }).start();
    await there.import(fileOf(text));
    entered.length = 0;
    await (await there.restart(source.id)).result();
    expect(entered).toEqual([]);
    await (await there.fork(source.id, { reuse: "none" })).result();
    expect(entered).toEqual(["counted"]);
    expect(await there.verify()).toMatchObject({ ok: true });
  });

  it("has a ledger there: what was made up for and done again in called runs is not done once more", async () => {
    const keys: string[] = [];
    let fails = true;
    let refunds = 0;
    const till = workflow({ name: "till" }, async (ctx, fee: number) => {
      const compensate = (): void => void (refunds += 1);
      await ctx.step("charge", { input: fee, effect: "once", compensate }, (_, step) => {
        keys.push(step.idempotencyKey);
      });
      if (fails) throw new Error("no paper");
      return "charged";
    });
    const order = workflow({ name: "order" }, (ctx, fee: number) => ctx.call(till, fee));
    await using here = fresh();
    await using one = await new Stemma({ store: here, workflows: [order, till], log: silent }).start();
    const run = await one.run(order, 5);
    await errorOf(run.result());
    fails = false;
    await (await one.restart(run.id)).result();
    expect([keys.length, refunds]).toEqual([2, 1]);
    await using target = sqlite(":memory:");
    await using there = await new Stemma({ store: target, workflows: [order, till], log: silent }).start();
    const { runs } = await there.import(fileOf(await textOf(one, run.id)));
    expect(runs).toHaveLength(4);
    await (await there.fork(run.id, { reuse: "none" })).result();
    expect(keys).toHaveLength(2);
  });

  it("has open runs that rest until somebody answers, or are taken over", async () => {
    await using target = sqlite(":memory:");
    await using there = await new Stemma({ store: target, workflows, log: silent }, { lingerMs: 10 }).start();
    await there.import(fileOf(await textOf(stemma, open.id)));
    expect((await there.row(open.id)).dueAt).toBeNull();
    await there.resume(open.id, "question", "yes");
    expect(await (await there.get(open.id)).result()).toBe("yes");
    await using other = sqlite(":memory:");
    const second = new Stemma({ store: other });
    await second.import(fileOf(await textOf(stemma, open.id)), { takeOver: true });
    expect((await second.row(open.id)).dueAt).not.toBeNull();
  });

  it("has runs that were in the midst of something, or had not begun, and that nobody goes on with there", async () => {
    const doing: string[] = [];
    const { promise: stuck } = Promise.withResolvers<void>();
    const slow = workflow({ name: "slow" }, async (ctx, by: string) => {
      await ctx.step("work", { input: by }, () => (doing.push(by) === 1 ? stuck : undefined));
      return doing.length;
    });
    const calling = workflow({ name: "calling" }, (ctx, by: string) => ctx.call(slow, by));
    await using here = fresh();
    const one = await new Stemma({ store: here, workflows: [slow, calling], log: silent }).start();
    const caller = await one.run(calling, "here");
    await until(() => doing.length > 0);
    one.abandon();
    const queued = await one.run(slow, "later", { delay: "2d" });
    const { dueAt } = await one.row(queued.id);
    const files = [await textOf(one, caller.id), await textOf(one, queued.id)];
    for (const takeOver of [false, true]) {
      doing.splice(0, doing.length, "here");
      await using target = fresh();
      await using there = await new Stemma({ store: target, workflows: [slow, calling, leaf], log: silent }).start();
      for (const file of files) await there.import(fileOf(file), { takeOver });
      if (takeOver) expect((await there.row(queued.id)).dueAt).toBe(dueAt);
      else {
        // However often the worker looks.
        await (await there.run(leaf, 1)).result();
        const rows = (await there.list({ workflow: "slow" })).runs.map(({ id }) => there.row(id));
        for (const row of await Promise.all(rows)) expect(row).toMatchObject({ dueAt: null, epoch: 0 });
        expect(doing).toEqual(["here"]);
        expect(await textOf(there, caller.id)).toBe(files[0]);
        for (const { id } of [queued, ...(await there.list({ family: caller.id })).runs]) await there.unpause(id);
        expect(await (await there.get(queued.id)).result()).toBeGreaterThan(1);
      }
      expect(await (await there.get(caller.id)).result()).toBeGreaterThan(1);
    }
  });

  it("answers under its idempotency key there, and is refused where another run has that", async () => {
    await using here = fresh();
    await using one = await new Stemma({ store: here, workflows, log: silent }, { lingerMs: 10 }).start();
    const run = await one.run(leaf, 3, { idempotencyKey: "order 12" });
    await run.result();
    const again = await one.restart(run.id, { idempotencyKey: "ticket" });
    await again.result();
    const file = fileOf(await textOf(one, run.id));
    await using target = sqlite(":memory:");
    await using there = await new Stemma({ store: target, workflows, log: silent }, { lingerMs: 10 }).start();
    await there.import(file);
    expect((await there.run(leaf, 3, { idempotencyKey: "order 12" })).id).toBe(run.id);
    expect((await there.restart(run.id, { idempotencyKey: "ticket" })).id).toBe(again.id);
    expect((await there.list({ workflow: "leaf", idempotencyKey: "order 12" })).runs.map(({ id }) => id)).toEqual([
      run.id,
    ]);
    await using other = fresh();
    await using taken = new Stemma({ store: other, workflows, log: silent });
    const first = await taken.run(leaf, 4, { idempotencyKey: "order 12" });
    expect(await errorOf(taken.import(file))).toMatchObject({
      code: "run.conflict",
      data: { run: run.id, other: first.id },
    });
    expect((await taken.list()).runs).toHaveLength(1);
  });

  it("has what was sent to it and not taken in: nothing that was acknowledged is lost, and it wakes nobody by itself", async () => {
    await using here = fresh();
    const one = await new Stemma({ store: here, workflows, log: silent }, { lingerMs: 10 }).start();
    const run = await one.run(asking, undefined);
    await until(async () => (await run.status()) === "suspended");
    await one.stop();
    expect(await one.resume(run.id, "question", { said: "é" }, { by: "ada" })).toEqual({ state: "sent" });
    const content = await textOf(one, run.id);
    const file = fileOf(content);
    for (const takeOver of [true, false]) {
      await using target = takeOver ? sqlite(":memory:") : fresh();
      await using there = await new Stemma({ store: target, workflows, log: silent }, { lingerMs: 10 }).start();
      await there.import(file, { takeOver });
      expect(await there.verify()).toMatchObject({ ok: true });
      if (!takeOver) {
        // It is not worked on, however often the worker looks, until somebody says that it may be.
        await (await there.run(leaf, 1)).result();
        expect(await there.row(run.id)).toMatchObject({ dueAt: null, inbox: 1, inboxDone: 0, epoch: 0 });
        expect(await textOf(there, run.id)).toBe(content);
        expect(await there.import(file)).toMatchObject({ runs: [], there: [run.id] });
        await there.unpause(run.id);
      }
      expect(await (await there.get(run.id)).result()).toEqual({ said: "é" });
      const answers = (await there.history(run.id)).filter(({ type }) => type === "wait.answered");
      expect(answers.map(({ data }) => data)).toMatchObject([{ by: "ada" }]);
    }
    for (const hostile of [
      { key: "k", kind: "launch", body: "{}" },
      { key: "k", kind: "__proto__", body: "{}" },
      { key: "k", kind: "answer", body: "{}" },
      { key: "k", kind: "answer", body: '{"key":1}' },
      { key: "k", kind: "signal", body: '{"name":"s","text":"{"}' },
      { key: "k", kind: "cancel", body: "[]" },
      { key: "k", kind: "cancel", body: "{" },
      { key: "", kind: "cancel", body: "{}" },
    ]) {
      const lines = content.trimEnd().split("\n");
      const changed = lines.map((line) =>
        line.startsWith('{"message"') ? JSON.stringify({ message: hostile }) : line,
      );
      await using target = sqlite(":memory:");
      const refused = errorOf(new Stemma({ store: target }).import(fileOf(sealedAgain(changed))));
      expect([hostile, (await refused).code]).toEqual([hostile, "import.refused"]);
      expect(await empty(target)).toBe(true);
    }
  });

  it("goes on where it was broken off", async () => {
    await using target = sqlite(":memory:");
    const there = new Stemma({ store: target });
    let pieces = 0;
    const dying = new Proxy(target, {
      get: (of, name) =>
        name === "commit" && (pieces += 1) > 2
          ? () => Promise.reject(new Error("the power is gone"))
          : ((value: unknown) => (typeof value === "function" ? value.bind(of) : value))(Reflect.get(of, name)),
    });
    await expect(new Stemma({ store: dying }).import(fileOf(text))).rejects.toThrow("the power is gone");
    expect(await empty(target)).toBe(false);
    await there.import(fileOf(text));
    expect(await textOf(there, source.id)).toBe(text);
    expect(await there.verify()).toMatchObject({ ok: true });
  });
});

it.skipIf(onPostgres)(
  "a run whose import was killed before it was whole is completed by the next, which says so",
  async () => {
    using at = folder();
    const [file, path] = [join(at.path, "one.family"), join(at.path, "there.db")];
    const one = new Stemma({ store: sqlite(":memory:") });
    const run = await one.run(leaf, 3);
    await one.signal(run.id, "go", 1);
    const content = await textOf(one, run.id);
    writeFileSync(file, content);
    const child = spawn(process.execPath, [fileURLToPath(new URL("import-killed.ts", import.meta.url)), file, path]);
    const [, signal] = (await once(child, "close")) as [number | null, string | null];
    expect(signal).toBe("SIGKILL");
    await using target = sqlite(path);
    await using there = await new Stemma({ store: target, workflows, log: silent }, { lingerMs: 10 }).start();
    expect((await there.row(run.id)).dueAt).toBeGreaterThan(Date.now());
    const taken = await there.import(fileOf(content));
    expect(taken).toMatchObject({ runs: [run.id], completed: [run.id], there: [], events: 0 });
    expect(await there.row(run.id)).toMatchObject({ dueAt: null, inbox: 1 });
    expect(await there.import(fileOf(content))).toMatchObject({ runs: [], completed: [], there: [run.id] });
    await there.unpause(run.id);
    expect(await (await there.get(run.id)).result()).toBe("ééé");
  },
);

test("a run that an import left half rests until it is whole, whatever is sent to it, and then goes on with that", async () => {
  await using target = fresh();
  const one = new Stemma({ store: sqlite(":memory:") });
  const queued = await one.run(signalled, undefined);
  const content = await textOf(one, queued.id);
  const killed = around(
    target,
    ({ method, make }) => (method === "commit" ? Promise.reject(new Error("killed")) : make()),
    {},
  );
  await errorOf(new Stemma({ store: killed }).import(fileOf(content)));
  await using there = await new Stemma({ store: target, workflows, log: silent }, { lingerMs: 10 }).start();
  await using idle = new Stemma({ store: target, log: silent });
  expect(await there.signal(queued.id, "go", 5)).toMatchObject({ accepted: true });
  // Where nobody offers its code, whoever asks for its end would see to it; not before all of it is there.
  const other = await one.run(signalled, undefined);
  const content2 = await textOf(one, other.id);
  await errorOf(new Stemma({ store: killed }).import(fileOf(content2)));
  expect(await idle.cancel(other.id, { by: "ada" })).toEqual({ accepted: true, status: "queued" });
  for (const { id } of [queued, other]) {
    const { epoch, dueAt, inbox, state } = await there.row(id);
    expect([epoch, inbox, state.seq]).toEqual([0, 1, 0]);
    expect(dueAt).toBeGreaterThan(Date.now() + 86_400_000);
  }
  expect(await there.import(fileOf(content))).toMatchObject({ completed: [queued.id] });
  expect(await (await there.get(queued.id)).result()).toBe(5);
  expect(await there.import(fileOf(content2))).toMatchObject({ completed: [other.id] });
  await until(async () => (await there.row(other.id)).state.status === "cancelled");
});

describe("a file that is refused writes nothing", () => {
  const expectRefused = async (content: string, code: string): Promise<void> => {
    await using target = sqlite(":memory:");
    const error = await errorOf(new Stemma({ store: target }).import(fileOf(content)));
    expect([error.code, content.length > 0]).toEqual([code, true]);
    expect(await empty(target)).toBe(true);
  };
  const lines = (): string[] => text.trimEnd().split("\n");

  it("when any one character of it is another, even with a last line that fits", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.constantFrom("0", "7", "a", '"', "{", "é"),
        fc.boolean(),
        async (draw, put, sealed) => {
          const at = draw % text.length;
          fc.pre(text[at] !== put && text[at] !== "\n");
          const changed = text.slice(0, at) + put + text.slice(at + 1);
          const content = sealed ? sealedAgain(changed.trimEnd().split("\n")) : changed;
          fc.pre(content !== text);
          await using target = sqlite(":memory:");
          const there = new Stemma({ store: target });
          const error = await there.import(fileOf(content)).then(
            () => undefined,
            (thrown: unknown) => thrown as { code?: string },
          );
          // Where a run stands in the queue is no part of what it is; all else is.
          if (error === undefined) expect(sealed && lineAt(content, at).startsWith(`{"run":`)).toBe(true);
          else {
            expect(["import.refused", "store.newer", "run.invalid_id"]).toContain(error.code);
            expect(await empty(target)).toBe(true);
          }
        },
      ),
      { numRuns: onPostgres ? 20 : 300 },
    );
  });

  function lineAt(content: string, at: number): string {
    return content.slice(content.lastIndexOf("\n", at) + 1, content.indexOf("\n", at));
  }

  it("when it is cut off anywhere", async () => {
    for (const end of [0.001, 0.3, 0.7, 0.999])
      await expectRefused(text.slice(0, Math.floor(text.length * end)), "import.refused");
    await expectRefused(`${lines().slice(0, -1).join("\n")}\n`, "import.refused");
  });

  it("when an event, a payload or a run is missing, twice, or elsewhere", async () => {
    for (const kind of ["event", "payload", "run"]) {
      const at = lines().findIndex((line, i) => i > 5 && line.startsWith(`{"${kind}"`));
      await expectRefused(sealedAgain(lines().filter((_, i) => i !== at)), "import.refused");
      const twice = lines().flatMap((line, i) => (i === at ? [line, line] : [line]));
      if (kind !== "payload") await expectRefused(sealedAgain(twice), "import.refused");
    }
    const [one, other] = [8, 9];
    const swapped = lines().map((line, i, all) => (i === one ? all[other] : i === other ? all[one] : line)) as string[];
    if (swapped[one]?.startsWith('{"event"')) await expectRefused(sealedAgain(swapped), "import.refused");
  });

  it("when it is newer, of another kind, or hostile", async () => {
    await expectRefused(
      sealedAgain([(lines()[0] ?? "").replace('"version":1', '"version":2'), ...lines().slice(1)]),
      "store.newer",
    );
    const hostile = (line: string): string => sealedAgain([lines()[0] ?? "", line, ...lines().slice(1)]);
    await expectRefused(hostile('{"__proto__":{"id":"x"}}'), "import.refused");
    await expectRefused(hostile('{"run":{"id":"../../etc/passwd","queue":"q","priority":0}}'), "run.invalid_id");
    await expectRefused(hostile('{"run":{"__proto__":{},"id":"run_1","queue":"q","priority":0}}'), "import.refused");
    await expectRefused(hostile('{"constructor":{"prototype":{}}}'), "import.refused");
    await expectRefused(hostile(`{"payload":{"digest":"${"0".repeat(64)}","text":"not its text"}}`), "import.refused");
    await expectRefused(hostile(`{"deep":${"[".repeat(100_000)}${"]".repeat(100_000)}}`), "import.refused");
    await expectRefused("PK\u0003\u0004 a zip file\n", "import.refused");
  });

  it("when it is larger than it may be", async () => {
    await using target = sqlite(":memory:");
    const there = new Stemma({ store: target });
    expect((await errorOf(there.import(fileOf(text), { maxBytes: 1000 }))).code).toBe("import.refused");
    expect(await empty(target)).toBe(true);
  });

  it("when a run of it is there as another one", async () => {
    await using target = sqlite(":memory:");
    const there = new Stemma({ store: target, workflows });
    await there.run(leaf, 1, { id: source.id });
    expect((await errorOf(there.import(fileOf(text)))).code).toBe("run.conflict");
    expect((await target.list({ limit: 10 })).runs).toHaveLength(1);
  });
});
