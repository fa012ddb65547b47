/**
 * The life of a run as those who come from a control plane expect it (section E of its behaviours), asked over real
 * HTTP: pause, cancel, waits, and what becomes of work when workers and servers go.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, describe, expect, it } from "vitest";
import { Stemma, workflow } from "../../src/index.ts";
import type { Workflow } from "../../src/index.ts";
import { client } from "../../src/client.ts";
import type { StemmaClient } from "../../src/client.ts";
import { sqlite } from "../../src/sqlite.ts";
import { serve } from "../server/place.ts";
import { errorOf, silent, until } from "../stage.ts";

const folder = mkdtempSync(join(tmpdir(), "stemma-lifecycle-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
const file = (): string => join(folder, `${(files += 1)}.db`);
const nobody = `run_${"0".repeat(26)}`;

/** A workflow that counts how often its step is entered. */
function counting(): { calls: number; work: Workflow } {
  const count = (): number => (counted.calls += 1);
  const work: Workflow = workflow({ name: "work" }, (ctx) => ctx.step("call", count));
  const counted = { calls: 0, work };
  return counted;
}

const leaf = workflow({ name: "leaf" }, (ctx) => ctx.wait("open"));
const middle = workflow({ name: "middle" }, (ctx) => ctx.call(leaf, undefined));
const quick = workflow({ name: "quick" }, (ctx) => ctx.step("quick", () => "done"));
const root = workflow({ name: "root" }, async (ctx) => {
  await ctx.call(quick, undefined);
  return ctx.call(middle, undefined);
});
const approval = workflow({ name: "approval" }, (ctx) => ctx.wait<string>("approval", { prompt: "Well?" }));
const tree = [leaf, middle, quick, root, approval];

/** A server in a process of its own, on the store of a folder; `kill` ends it by SIGKILL. */
async function served(cwd: string, code: string): Promise<{ client: StemmaClient; kill(): Promise<void> }> {
  const main = join(import.meta.dirname, "../../src/cli/main.ts");
  const words = [main, "serve", code, "--port", "0"];
  const env = { ...process.env, STEMMA_STORE: "kept.db", STEMMA_SERVER: "", STEMMA_TOKEN: "" };
  const child = spawn(process.execPath, words, { cwd, env });
  const ended = new Promise<void>((resolve) => void child.on("close", () => resolve()));
  let err = "";
  child.stderr.on("data", (chunk) => (err += String(chunk)));
  child.stdout.resume();
  await until(() => err.includes("listens on") || child.exitCode !== null);
  const url = /listens on (\S+)/.exec(err)?.[1];
  if (url === undefined) throw new Error(`expected a server that listens, got: ${err}`);
  return {
    client: client({ url }),
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

describe("lifecycle, over HTTP", () => {
  it("E1: a run is paused and goes on; one that has ended is a conflict, one that is not there is not found", async () => {
    await using at = await serve(tree);
    const run = await at.client.run("approval", undefined);
    await until(async () => (await run.status()) === "suspended");
    expect(await at.client.unpause(run.id)).toEqual({ previous: "suspended" });
    await until(async () => {
      const { inbox, inboxDone, state } = await at.client.row(run.id);
      return inbox === inboxDone && state.status === "suspended";
    });
    expect((await run.history()).filter(({ type }) => type === "run.unpaused")).toEqual([]);
    expect(await at.client.pause(run.id)).toEqual({ previous: "suspended" });
    await until(async () => (await run.status()) === "paused");
    expect(await at.client.unpause(run.id)).toEqual({ previous: "paused" });
    await until(async () => (await run.status()) === "suspended");
    await at.client.resume(run.id, "approval", "yes");
    await run.result();
    for (const ask of [at.client.pause(run.id), at.client.unpause(run.id)]) {
      expect(await errorOf(ask)).toMatchObject({ code: "run.ended", data: { status: "succeeded" } });
    }
    const answers = await Promise.all(
      [run.id, nobody].flatMap((id) =>
        ["pause", "unpause"].map((verb) => fetch(`${at.url}/v1/runs/${id}/${verb}`, { method: "POST" })),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual([409, 409, 404, 404]);
  });

  it("E2: a run is cancelled from every status that is no end, and one that has ended stays as it is", async () => {
    await using at = await serve(tree);
    await using idle = await serve([quick], { working: false });
    const queued = await idle.client.run("quick", undefined);
    const suspended = await at.client.run("approval", undefined);
    const paused = await at.client.run("approval", undefined);
    for (const run of [suspended, paused]) await until(async () => (await run.status()) === "suspended");
    await at.client.pause(paused.id);
    await until(async () => (await paused.status()) === "paused");
    for (const run of [queued, suspended, paused]) {
      expect(await run.cancel({ by: "ada" })).toMatchObject({ accepted: true });
      await until(async () => (await run.status()) === "cancelled");
      const end = (await run.history()).at(-1);
      expect(end?.data).toEqual({ by: "ada" });
      expect(await run.cancel()).toEqual({ accepted: false, status: "cancelled" });
    }
    const done = await at.client.run("quick", undefined);
    await done.result();
    expect(await done.cancel()).toEqual({ accepted: false, status: "succeeded" });
    expect(await errorOf(at.client.cancel(nobody))).toMatchObject({ code: "run.not_found" });
  });

  it("E3: cancelling a tree ends what has not ended, leaf first, and leaves what has", async () => {
    await using at = await serve(tree);
    const run = await at.client.run("root", undefined);
    await until(async () => (await at.client.waits()).waits.length === 1);
    await run.cancel({ reason: "not wanted" });
    await errorOf(run.result());
    const { runs } = await at.client.list({ family: run.id });
    const statuses = Object.fromEntries(runs.map(({ state }) => [state.workflow, state.status]));
    expect(statuses).toEqual({ root: "cancelled", middle: "cancelled", leaf: "cancelled", quick: "succeeded" });
    const ended: string[] = [];
    for await (const { run: id, event } of at.client.feed({ family: run.id, once: true })) {
      if (event.type === "run.cancelled") ended.push(runs.find((one) => one.id === id)?.state.workflow ?? "");
    }
    expect(ended).toEqual(["leaf", "middle", "root"]);
  });

  it("E4: what is paused before anybody works on it is not entered until it goes on", async () => {
    const counted = counting();
    await using at = await serve([counted.work], { working: false });
    const run = await at.client.run("work", undefined);
    await at.client.pause(run.id);
    await at.stemma.start();
    await until(async () => (await run.status()) === "paused");
    expect(counted.calls).toBe(0);
    await at.client.unpause(run.id);
    expect([await run.result(), counted.calls]).toEqual([1, 1]);
  });

  it("E5: what is cancelled before anybody works on it is never entered", async () => {
    const counted = counting();
    await using at = await serve([counted.work], { working: false });
    const run = await at.client.run("work", undefined);
    await run.cancel();
    await at.stemma.start();
    expect(await errorOf(run.result())).toMatchObject({ code: "run.cancelled" });
    const after = await at.client.run("work", undefined);
    await after.result();
    expect(counted.calls).toBe(1);
  });

  it("E6: an end is the end: what is asked afterwards is refused or changes nothing", async () => {
    await using at = await serve(tree);
    const run = await at.client.run("quick", undefined);
    await run.result();
    const before = await run.history();
    await run.cancel();
    await errorOf(at.client.pause(run.id));
    await errorOf(at.client.resume(run.id, "open", 1));
    await errorOf(at.client.signal(run.id, "s"));
    expect(await run.history()).toEqual(before);
  });

  it("E7: what waits goes on only by an answer or to its end: nothing else makes it run, and no answer makes it wait", async () => {
    await using at = await serve(tree);
    const waiting = async (): Promise<string> => {
      const { id } = await at.client.run("approval", undefined);
      await until(async () => (await at.client.row(id)).state.status === "suspended");
      return id;
    };
    const [running, failing, cancelled, still] = [await waiting(), await waiting(), await waiting(), await waiting()];
    const settled = async (id: string): Promise<string> => {
      await until(async () => {
        const { inbox, inboxDone, state } = await at.client.row(id);
        return inbox === inboxDone && state.status !== "running" && state.status !== "queued";
      });
      return (await at.client.row(id)).state.status;
    };
    // What is asked of it that is no answer leaves it waiting, with the reason, and its question open.
    await at.client.unpause(still);
    await at.client.signal(still, "other", 1);
    for (const [wait, code] of [
      ["nothing", "wait.not_open"],
      ["", "wait.not_open"],
    ] as const) {
      expect(await errorOf(at.client.resume(still, wait, "yes"))).toMatchObject({ code });
    }
    expect(await errorOf(at.client.decide(still, "approval", "run"))).toMatchObject({ code: "step.not_in_doubt" });
    expect(await errorOf(at.client.restart(still))).toMatchObject({ code: "run.not_terminal" });
    expect(await settled(still)).toBe("suspended");
    expect((await at.client.row(still)).state.reason).toBe("waiting");
    expect((await at.client.waits({ run: still })).waits).toHaveLength(1);
    // Answered it runs (and ends), refused it fails, cancelled it is cancelled; each is on record as that.
    await at.client.resume(running, "approval", "yes");
    await at.client.fail(failing, "approval", new Error("no"));
    await at.client.cancel(cancelled);
    const last = async (id: string): Promise<string[]> => {
      await until(async () => /succeeded|failed|cancelled/.test((await at.client.row(id)).state.status));
      return (await at.client.history(id)).slice(-2).map(({ type }) => type);
    };
    expect(await last(running)).toEqual(["wait.answered", "run.succeeded"]);
    expect(await last(failing)).toEqual(["wait.failed", "run.failed"]);
    expect((await last(cancelled)).at(-1)).toBe("run.cancelled");
    // Behind its end no answer reaches it, and it never waits again.
    for (const id of [running, failing, cancelled]) {
      const before = await at.client.history(id);
      await Promise.allSettled([at.client.resuspend(id, "approval", { prompt: "Again?" })]);
      expect(await at.client.history(id)).toEqual(before);
    }
  });

  it("E8: an approval is given, refused, or asked for again; the second answer is told the first", async () => {
    await using at = await serve(tree, {
      token: "0123456789abcdef-right",
      client: { token: "0123456789abcdef-right" },
    });
    const waiting = async (): Promise<Awaited<ReturnType<typeof at.client.run<unknown, unknown>>>> => {
      const run = await at.client.run<unknown, unknown>("approval", undefined);
      await until(async () => (await run.status()) === "suspended");
      return run;
    };
    const [approved, refused, again] = [await waiting(), await waiting(), await waiting()];
    await at.client.resume(approved.id, "approval", "approved", { by: "ada" });
    expect(await approved.result()).toBe("approved");
    await at.client.fail(refused.id, "approval", new Error("rejected"));
    expect(await errorOf(refused.result())).toMatchObject({ code: "run.failed", cause: { message: "rejected" } });
    await at.client.resuspend(again.id, "approval", { value: "shorter, please", prompt: "And now?" });
    await until(async () => (await at.client.waits({ run: again.id })).waits[0]?.prompt === "And now?");
    await at.client.resume(again.id, "approval", "approved");
    expect(await again.result()).toBe("approved");
    const second = await at.client.resume(approved.id, "approval", "rejected");
    expect(second).toMatchObject({ state: "recorded", value: "approved", by: "ada via token" });
    for (const authorization of ["", "Bearer wrong-0123456789abcdef", "Basic eDp5"]) {
      const answer = await fetch(`${at.url}/v1/runs/${again.id}/resume`, {
        method: "POST",
        headers: { authorization },
      });
      expect(answer.status).toBe(401);
    }
  });

  it("E9: who waits for a run that waits is suspended with it, and goes on with it", async () => {
    await using at = await serve(tree);
    const run = await at.client.run("middle", undefined);
    await until(async () => (await at.client.waits()).waits.length === 1);
    await until(async () => (await run.status()) === "suspended");
    const [wait] = (await at.client.waits()).waits;
    await at.client.resume(wait?.run ?? "", "open", "yes");
    expect(await run.result()).toBe("yes");
  });

  it("E10: what a worker that is gone had in hand runs again with the next", async () => {
    const gate = Promise.withResolvers<string>();
    let entered = 0;
    const work = workflow({ name: "work" }, (ctx) =>
      ctx.step("call", () => ((entered += 1) === 1 ? gate.promise : "done")),
    );
    const path = file();
    await using store = sqlite(path);
    await using other = sqlite(path);
    await using at = await serve([work], { working: false, engine: { store } });
    const gone = await new Stemma({ store: other, workflows: [work], log: silent, lease: "300ms" }).start();
    const run = await at.client.run("work", undefined);
    await until(async () => entered === 1);
    gone.abandon();
    await at.stemma.start();
    expect([await run.result(), entered]).toEqual(["done", 2]);
    gate.resolve("too late");
  });

  it("E11: approved while no worker was there, it ends when one is", async () => {
    const path = file();
    let id = "";
    {
      await using store = sqlite(path);
      await using at = await serve(tree, { engine: { store } });
      const run = await at.client.run("approval", undefined);
      ({ id } = run);
      await until(async () => (await run.status()) === "suspended");
    }
    {
      await using store = sqlite(path);
      await using at = await serve([], { engine: { store }, working: false });
      expect(await at.client.resume(id, "approval", "yes", { by: "ada" })).toEqual({ state: "sent" });
    }
    await using store = sqlite(path);
    await using at = await serve(tree, { engine: { store } });
    expect(await (await at.client.get(id)).result()).toBe("yes");
  });

  it("E12: what was queued when the server went runs when it is back", async () => {
    const path = file();
    const ids: string[] = [];
    {
      await using store = sqlite(path);
      await using at = await serve(tree, { engine: { store }, working: false });
      for (let n = 0; n < 5; n += 1) ids.push((await at.client.run("quick", undefined)).id);
    }
    await using store = sqlite(path);
    await using at = await serve(tree, { engine: { store } });
    for (const id of ids) expect(await (await at.client.get(id)).result()).toBe("done");
  });

  it("E11, E12 killed: what waited, was answered or was queued when a server was killed ends when one is back", async () => {
    const at = mkdtempSync(join(folder, "killed-"));
    const entry = JSON.stringify(join(import.meta.dirname, "../../src/index.ts"));
    const code = (step: string): string => `import { workflow } from ${entry};
      export const quick = workflow({ name: "quick" }, (ctx) => ctx.step("quick", ${step}));
      export const approval = workflow({ name: "approval" }, (ctx) => ctx.wait("approval"));`;
    // The first server never comes to the end of a step; the next one has code that does.
    writeFileSync(join(at, "stuck.ts"), code("() => new Promise(() => {})"));
    writeFileSync(join(at, "whole.ts"), code('() => "done"'));
    const ids: string[] = [];
    const first = await served(at, "stuck.ts");
    try {
      const asked = await first.client.run("approval", undefined);
      await until(async () => (await asked.status()) === "suspended");
      for (let n = 0; n < 5; n += 1) ids.push((await first.client.run("quick", undefined)).id);
      await until(async () => (await first.client.row(ids[0] ?? "")).state.status === "running");
      ids.push(asked.id);
      // The kill comes with the answer: it was acknowledged, so it counts.
      await first.client.resume(asked.id, "approval", "yes");
    } finally {
      await first.kill();
    }
    // As when its lease has run out: nobody has to wait for that here.
    const kept = new DatabaseSync(join(at, "kept.db"));
    kept.exec("update workers set lease_until = 0");
    kept.close();
    const second = await served(at, "whole.ts");
    try {
      const results: unknown[] = [];
      for (const id of ids) results.push(await (await second.client.get(id)).result());
      expect(results).toEqual(["done", "done", "done", "done", "done", "yes"]);
      expect(await second.client.verify()).toMatchObject({ ok: true, runs: 6 });
    } finally {
      await second.kill();
    }
  });

  it("E13: who waits for a run that is cancelled is told so, and does not wait on", async () => {
    await using at = await serve(tree);
    const run = await at.client.run("approval", undefined);
    const result = errorOf(run.result());
    await until(async () => (await run.status()) === "suspended");
    await run.cancel({ reason: "enough" });
    expect(await result).toMatchObject({ code: "run.cancelled", data: { run: run.id } });
  });
});
