/** Cancel, pause and decide on the command line, and how `stemma show` shows what became of a run. */
import { describe, expect, test } from "vitest";
import { answered, typed, workshop } from "../../test/command-line.ts";
import { silent, until } from "../../test/stage.ts";
import { Stemma, workflow } from "../index.ts";
import type { RunHandle } from "../index.ts";

const gate = workflow({ name: "gate" }, (ctx) => ctx.wait("open"));
const caller = workflow({ name: "caller" }, async (ctx) => {
  await ctx.step("first", () => 1);
  return ctx.call(gate, undefined, { name: "ask" });
});
const booking = workflow({ name: "booking" }, async (ctx) => {
  await ctx.step("seat", { compensate: () => "freed" }, () => "12A");
  return ctx.wait("paid");
});
const risky = workflow({ name: "risky" }, (ctx) =>
  ctx.step("pay", { effect: "once" }, () => {
    throw new Error("the line went dead");
  }),
);

const inStatus = (run: RunHandle, status: string): Promise<void> => until(async () => (await run.status()) === status);

describe("stemma cancel", () => {
  test("ends a run and says so; again it changes nothing; of a run that ended otherwise it is refused", async () => {
    const quick = workflow({ name: "quick" }, async () => 1);
    await using shop = await workshop([gate, quick]);
    const run = await shop.stemma.run(gate, undefined);
    await inStatus(run, "suspended");
    const words = ["cancel", run.id.slice(-10), "--store", shop.path];
    const first = await typed(...words, "--by", "ada", "--reason", "too late");
    expect(first.status).toBe(0);
    expect(first.out).toMatch(new RegExp(`^${run.id} is (cancelled|asked to end; it is .*)\n$`));
    await inStatus(run, "cancelled");
    expect(await typed(...words)).toMatchObject({ status: 0, out: `${run.id} was cancelled before\n` });
    expect((await answered(...words)).value).toEqual({ run: run.id, accepted: false, status: "cancelled" });
    expect((await typed("show", run.id, "--store", shop.path)).out).toContain("ended by ada: too late");
    const done = await shop.stemma.run(quick, undefined);
    await done.result();
    expect(await answered("cancel", done.id, "--store", shop.path)).toMatchObject({
      status: 4,
      value: { code: "run.ended", data: { status: "succeeded" } },
    });
  });

  test("that no worker has taken in says so, and show says who asked as soon as it is on record", async () => {
    const stubborn = workflow({ name: "stubborn" }, (ctx) => ctx.step("hang", () => new Promise(() => {})));
    await using shop = await workshop([stubborn, gate], { abortGrace: "1h" });
    const run = await shop.stemma.run(gate, undefined);
    const hanging = await shop.stemma.run(stubborn, undefined);
    await inStatus(run, "suspended");
    await inStatus(hanging, "running");
    await shop.stemma.cancel(hanging.id, { by: "ada", reason: "too slow" });
    await until(async () => (await shop.stemma.row(hanging.id)).state.cancel !== undefined);
    const shown = await typed("show", hanging.id, "--store", shop.path);
    expect(shown.out).toContain("It was asked to end by ada (too slow)");
    shop.stemma.abandon();
    const late = await typed("cancel", run.id, "--store", shop.path);
    expect(late).toMatchObject({ status: 0, out: `${run.id} is asked to end; it is suspended\n` });
    expect(late.err).toContain("The request is kept, but no worker has taken it in yet");
  });

  test("a run whose own code is done says what it waits for before its end", async () => {
    const hangs = workflow({ name: "hangs" }, (ctx) => ctx.step("hang", () => new Promise(() => {})));
    const done = workflow({ name: "done" }, async (ctx) => {
      void ctx.call(hangs, undefined, { name: "left" });
      return ctx.step("one", () => 1);
    });
    await using shop = await workshop([hangs, done], { abortGrace: "1h" });
    const run = await shop.stemma.run(done, undefined);
    await inStatus(run, "suspended");
    const { out } = await typed("show", run.id, "--store", shop.path);
    expect(out).toContain("Its own code is done; it ends when what it left behind has.");
    expect(out).toMatch(/It waits for the end of left \(run_\w+, running\)/);
    expect(out).not.toContain("asked to end");
    shop.stemma.abandon();
  });

  test("what made up for a success is shown as that", async () => {
    await using shop = await workshop([booking]);
    const run = await shop.stemma.run(booking, undefined);
    await inStatus(run, "suspended");
    await typed("cancel", run.id, "--store", shop.path);
    await inStatus(run, "cancelled");
    const { out } = await typed("show", run.id, "--store", shop.path);
    expect(out).toMatch(/─ compensate .*makes up for what succeeded {2}1\/1\n +└─ ✔ seat .*"freed"/);
  });
});

describe("stemma pause", () => {
  test("says that the run is paused, by whom and how it goes on; unpause lets it", async () => {
    await using shop = await workshop([gate]);
    const run = await shop.stemma.run(gate, undefined);
    await inStatus(run, "suspended");
    const asked = await typed("pause", run.id, "--by", "ada", "--reason", "audit", "--store", shop.path);
    expect(asked).toMatchObject({ status: 0, out: `${run.id} is paused\n` });
    expect(asked.err).toContain(`stemma unpause ${run.id} --store ${shop.path}`);
    const { out } = await typed("show", run.id, "--store", shop.path);
    expect(out).toMatch(/It was paused now by ada \(audit\): nothing begins until it is unpaused\./);
    expect(out).toContain(`stemma unpause ${run.id} --store ${shop.path}`);
    const shown = await answered("show", run.id, "--store", shop.path);
    expect(shown.value).toMatchObject({ status: "paused", pause: { by: "ada", reason: "audit" } });
    const answer = await typed("resume", run.id, "open", "--value", "7", "--store", shop.path);
    expect(answer.out).toBe("answered open: 7\n");
    expect(answer.err).toContain("The run is paused");
    expect(await run.status()).toBe("paused");
    expect((await typed("unpause", run.id, "--store", shop.path)).status).toBe(0);
    expect(await run.result()).toBe(7);
    expect(await answered("pause", run.id, "--store", shop.path)).toMatchObject({
      status: 4,
      value: { code: "run.ended" },
    });
  });

  test("of a run that called others is shown of those as what it is, with the run to unpause", async () => {
    await using shop = await workshop([gate, caller]);
    const run = await shop.stemma.run(caller, undefined);
    await until(async () => (await shop.stemma.waits()).waits.length === 1);
    const [open] = (await shop.stemma.waits()).waits;
    const called = await shop.stemma.get(open?.run ?? "");
    await inStatus(called, "suspended");
    await typed("pause", run.id, "--by", "ada", "--store", shop.path);
    await inStatus(called, "paused");
    const shown = async (): Promise<string> => (await typed("show", called.id, "--store", shop.path)).out;
    expect(await shown()).toMatch(/It was paused now by ada, because the run that called it was/);
    expect(await shown()).toContain(`stemma unpause ${run.id} --store`);
    const answer = await typed("resume", called.id, "open", "--value", "7", "--store", shop.path);
    expect(answer.err).toContain(`it goes on after stemma unpause ${run.id}`);
    // Paused by somebody besides, it needs a word of its own to go on.
    await typed("pause", called.id, "--by", "bob", "--store", shop.path);
    expect(await shown()).toMatch(/It was paused now by bob: nothing begins until it is unpaused/);
    await typed("unpause", run.id, "--store", shop.path);
    await inStatus(run, "suspended");
    expect(await called.status()).toBe("paused");
    expect(await shown()).toContain(`stemma unpause ${called.id} --store`);
  });
});

describe("stemma decide", () => {
  const words = (run: RunHandle, path: string): string[] => ["decide", run.id, "pay", "--store", path];

  async function inDoubt(shop: { stemma: Stemma }): Promise<RunHandle> {
    const run = await shop.stemma.run(risky, undefined);
    await until(async () => (await shop.stemma.row(run.id)).state.reason === "in_doubt");
    return run;
  }

  test("records what happened; show says what to type, and then who decided", async () => {
    await using shop = await workshop([risky]);
    const run = await inDoubt(shop);
    const before = await typed("show", run.id, "--store", shop.path);
    expect(before.out).toContain(`stemma decide ${run.id} pay --store ${shop.path} …`);
    expect((await typed("doctor", "--store", shop.path)).out).toMatch(/stemma decide\s+<run>\s+<key>/);
    const decided = await typed(...words(run, shop.path), "--record", '{"paid":1}', "--by", "ada", "--reason", "bank");
    expect(decided).toMatchObject({ status: 0, out: "decided pay: record\n" });
    expect(await run.result()).toEqual({ paid: 1 });
    const { out } = await typed("show", run.id, "--store", shop.path);
    expect(out).toContain("decided by ada: record (bank)");
    // Said again, because its answer was lost.
    for (const more of [[], ["--key", "k"]])
      expect((await typed(...words(run, shop.path), "--record", '{"paid":1}', ...more)).out).toBe(decided.out);
  });

  test("lets it fail, and of a step that is not in doubt names those that are", async () => {
    await using shop = await workshop([risky]);
    const run = await inDoubt(shop);
    const wrong = await answered("decide", run.id, "charge", "--run", "--store", shop.path);
    expect(wrong).toMatchObject({ status: 4, value: { code: "step.not_in_doubt", data: { inDoubt: ["pay"] } } });
    expect((await typed(...words(run, shop.path), "--fail", "never paid")).status).toBe(0);
    await inStatus(run, "failed");
    expect((await shop.stemma.row(run.id)).state.error?.message).toBe("never paid");
  });

  test("is one decision, never none and never two", async () => {
    for (const some of [[], ["--run", "--fail", "x"], ["--record", "1", "--run"]]) {
      expect(await answered("decide", "run_00000000", "pay", ...some)).toMatchObject({
        status: 2,
        value: { code: "usage.invalid" },
      });
    }
  });
});

test("called runs are shown below their calls with their own status, one level deep", async () => {
  const outer = workflow({ name: "outer" }, (ctx) => ctx.call(caller, undefined));
  await using shop = await workshop([outer, caller, gate]);
  const run = await shop.stemma.run(outer, undefined);
  const innermost = async (): Promise<string | undefined> => (await shop.stemma.waits()).waits[0]?.run;
  await until(async () => (await innermost()) !== undefined);
  const gateRun = await shop.stemma.get((await innermost()) ?? "");
  await Promise.all([inStatus(run, "suspended"), inStatus(gateRun, "suspended")]);
  const [child] = (await shop.stemma.list({ workflow: "caller" })).runs;
  await until(async () => (await shop.stemma.row(child?.id ?? "")).state.status === "suspended");
  const { out } = await typed("show", run.id, "--store", shop.path);
  expect(out).toMatch(new RegExp(`It waits for the end of caller\\s+\\(${child?.id},\\s+suspended\\)`));
  expect(out).toMatch(/└─ ◷ caller .*suspended.*\n {3}├─ ✔ first .*\n {3}└─ ▶ ask /);
  expect(out).not.toContain("open ");
  const { value } = await answered("show", run.id, "--store", shop.path);
  expect(value["called"]).toMatchObject([{ id: child?.id, status: "suspended" }]);
});

test("what is asked of a run is kept while no worker offers it, and that is said", async () => {
  await using shop = await workshop([gate]);
  const client = new Stemma({ store: shop.stemma.store, workflows: [booking], log: silent });
  const run = await client.run(booking, undefined);
  const asked = await typed("pause", run.id, "--store", shop.path);
  expect(asked).toMatchObject({ status: 0, out: `${run.id} is asked to pause; it is queued\n` });
  expect(asked.err).toContain("no worker offers booking@1");
});
