/** Waits and signals on the command line: what is open, how it is answered, and what is said when it is not. */
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { answered, typed, workshop } from "../../test/command-line.ts";
import { silent, until } from "../../test/stage.ts";
import { Stemma, workflow } from "../index.ts";
import type { RunHandle } from "../index.ts";

const pay = workflow({ name: "pay" }, async (ctx) => {
  const { approve } = await ctx.wait<{ approve: boolean }>("approval", {
    input: { total: 40 },
    schema: z.object({ approve: z.boolean(), note: z.string().optional() }),
    prompt: "Pay \u001b[31m40?",
    expires: "7d",
    tags: ["money"],
  });
  return approve;
});
const listen = workflow({ name: "listen" }, (ctx) => ctx.signal("news"));
const gate = workflow({ name: "gate" }, async (ctx) => {
  try {
    return await ctx.wait("open");
  } catch (error) {
    return (error as Error).message;
  }
});

const resting = (run: RunHandle): Promise<void> => until(async () => (await run.status()) === "suspended");

describe("stemma waits", () => {
  test("lists what is open with its age and expiry, and the line that answers it", async () => {
    await using shop = await workshop([pay, listen]);
    const a = await shop.stemma.run(pay, undefined, { tags: ["eu"] });
    const b = await shop.stemma.run(listen, undefined);
    await Promise.all([resting(a), resting(b)]);
    const all = await typed("waits", "--store", shop.path);
    expect(all.status).toBe(0);
    const [head, first, second] = all.out.split("\n");
    expect(head).toMatch(/^run +key +kind +prompt +age +expires$/);
    expect(first).toMatch(new RegExp(`^${b.id} {2}news +signal +\\d+m?s +never$`));
    expect(second).toMatch(
      new RegExp(`^${a.id} {2}approval +approval +Pay \\\\u001b\\[31m40\\? +\\d+m?s +in (7d|6d 23h.*)$`),
    );
    expect(all.err).toContain(`stemma signal ${b.id} news --value '<json>' --store ${shop.path}`);
    expect(all.err).toContain(
      `stemma resume ${a.id} approval --value '{"approve":<true or false>}' --store ${shop.path}`,
    );
    for (const filter of [
      ["--run", a.id.slice(-10)],
      ["--workflow", "pay"],
      ["--tag", "money"],
      ["--tag", "eu"],
      ["--kind", "approval"],
      ["--name", "approval"],
    ]) {
      const { value } = await answered("waits", ...filter, "--store", shop.path);
      expect([filter, value["waits"]]).toMatchObject([filter, [{ run: a.id, key: "approval", input: { total: 40 } }]]);
    }
    const none = await typed("waits", "--name", "nobody", "--store", shop.path);
    expect([none.status, none.out]).toEqual([0, ""]);
    expect((await typed("waits", "--kind", "timer", "--store", shop.path)).status).toBe(2);
  });

  test("the hint is no answer by itself: what has to be filled in is refused as it stands", async () => {
    await using shop = await workshop([pay]);
    const run = await shop.stemma.run(pay, undefined);
    await resting(run);
    const { err } = await typed("waits", "--store", shop.path);
    const words = /--value '(.*)' --store/.exec(err)?.[1] ?? "";
    expect(await answered("resume", run.id, "approval", "--value", words, "--store", shop.path)).toMatchObject({
      status: 2,
      value: { code: "json.invalid" },
    });
    const filled = words.replace("<true or false>", "true");
    expect((await typed("resume", run.id, "approval", "--value", filled, "--store", shop.path)).status).toBe(0);
    expect(await run.result()).toBe(true);
  });

  test("goes on page by page by what it says to type, and misses none", async () => {
    await using shop = await workshop([gate]);
    const runs = await Promise.all([1, 2, 3, 4, 5].map(() => shop.stemma.run(gate, undefined)));
    await Promise.all(runs.map(resting));
    const seen: string[] = [];
    let words = ["waits", "--limit", "2", "--store", shop.path];
    for (let more = true; more;) {
      const { out, err } = await typed(...words);
      seen.push(...(out.match(/run_[0-9a-z]{26}/g) ?? []));
      words = /More: stemma (.*)/.exec(err)?.[1]?.split(" ") ?? [];
      more = words.length > 0;
    }
    expect(seen.toSorted()).toEqual(runs.map(({ id }) => id).toSorted());
  });
});

describe("stemma resume", () => {
  test("answers a wait, and a second answer is told what is on record", async () => {
    await using shop = await workshop([pay]);
    const run = await shop.stemma.run(pay, undefined);
    await resting(run);
    const words = ["resume", run.id.slice(-10), "approval", "--store", shop.path];
    const first = await typed(...words, "--value", '{"approve":false}', "--by", "ada");
    expect(first).toMatchObject({ status: 0, out: 'answered approval: {"approve":false}\n' });
    expect(await run.result()).toBe(false);
    const second = await typed(...words, "--value", '{"approve":true}', "--by", "bob");
    expect(second.status).toBe(0);
    expect(second.out).toMatch(/^answered before, at \d+ by ada: \{"approve":false\}\n$/);
    expect(second.err).toContain("Nothing has changed");
    const { value } = await answered(...words, "--value", '{"approve":true}');
    expect(value).toMatchObject({ state: "recorded", before: true, value: { approve: false }, by: "ada" });
  });

  test("says where an answer does not fit, and leaves the wait open", async () => {
    await using shop = await workshop([pay]);
    const run = await shop.stemma.run(pay, undefined);
    await resting(run);
    const { status, value } = await answered(
      "resume",
      run.id,
      "approval",
      "--value",
      '{"approve":1}',
      "--store",
      shop.path,
    );
    expect(status).toBe(2);
    expect(value).toMatchObject({ code: "wait.invalid_answer", data: { wait: "approval" } });
    expect(value["message"]).toContain("$/approve");
    expect(await run.status()).toBe("suspended");
  });

  test("of a wait that is not open names those that are", async () => {
    await using shop = await workshop([pay]);
    const run = await shop.stemma.run(pay, undefined);
    await resting(run);
    const { status, value } = await answered("resume", run.id, "aproval", "--value", "1", "--store", shop.path);
    expect([status, value["code"], value["data"]]).toEqual([
      4,
      "wait.not_open",
      { run: run.id, wait: "aproval", open: ["approval"] },
    ]);
    expect(value["message"]).toContain("Open are: approval.");
    expect(await answered("resume", "zzzzzzzz", "a", "--value", "1", "--store", shop.path)).toMatchObject({
      status: 3,
      value: { code: "run.not_found" },
    });
  });

  test.each([
    [[]],
    [["--fail", "x", "--again"]],
    [["--fail", "x", "--value", "1"]],
    [["--value", "1", "--prompt", "x"]],
  ])("is one of a value, a failure and a waiting on, and is never guessed: %j", async (words) => {
    expect(await answered("resume", "run_00000000", "a", ...words)).toMatchObject({
      status: 2,
      value: { code: "usage.invalid" },
    });
  });

  test("fails a wait, or makes it wait on with another prompt and what was said", async () => {
    await using shop = await workshop([gate]);
    const run = await shop.stemma.run(gate, undefined);
    await resting(run);
    const words = ["resume", run.id, "open", "--store", shop.path];
    const again = ["--again", "--prompt", "and now?", "--value", '"busy"', "--expires", "1h"];
    expect(await typed(...words, ...again)).toMatchObject({ status: 0, out: "open waits on\n" });
    await resting(run);
    expect((await shop.stemma.waits()).waits).toMatchObject([{ key: "open", prompt: "and now?" }]);
    expect((await typed(...words, "--fail", "no way")).out).toBe("answered open: Error: no way\n");
    expect(await run.result()).toBe("no way");
  });

  test("that no worker has taken in says so, and is there when one comes", async () => {
    await using shop = await workshop([pay]);
    const run = await shop.stemma.run(pay, undefined);
    await resting(run);
    await shop.stop();
    const words = ["resume", run.id, "approval", "--value", '{"approve":true}', "--store", shop.path];
    const { status, out, err } = await typed(...words);
    expect([status, out]).toEqual([0, "answered approval\n"]);
    expect(err).toMatch(/The answer is kept, but no worker has taken it in yet/);
    expect((await answered(...words)).value).toMatchObject({ state: "sent" });
    const { store } = shop.stemma;
    await using second = await new Stemma({ store, workflows: [pay], log: silent }).start();
    expect(await (await second.get(run.id)).result()).toBe(true);
  });
});

describe("stemma signal", () => {
  test("is what a run waits for, and of one key it is one signal", async () => {
    await using shop = await workshop([listen]);
    const run = await shop.stemma.run(listen, undefined);
    const words = ["signal", run.id, "news", "--key", "k", "--store", shop.path, "--value"];
    expect((await answered(...words, '{"n":1}')).value).toEqual({ run: run.id, signal: "news", state: "recorded" });
    expect(await run.result()).toEqual({ n: 1 });
    expect((await typed(...words, '{"n":1}')).status).toBe(0);
    expect((await run.history()).filter(({ type }) => type.startsWith("signal"))).toHaveLength(0);
    const late = await answered("signal", run.id, "news", "--store", shop.path);
    expect(late).toMatchObject({ status: 4, value: { code: "run.ended" } });
  });

  test("that comes early is shown as kept", async () => {
    await using shop = await workshop([gate]);
    const run = await shop.stemma.run(gate, undefined);
    await resting(run);
    await typed("signal", run.id, "later", "--value", '{"n":1}', "--store", shop.path);
    const shown = await typed("show", run.id, "--store", shop.path);
    expect(shown.out).toContain('kept: later {"n":1}');
    expect(shown.out).toContain(`stemma resume ${run.id} open --value '<json>' --store ${shop.path}`);
    const { value } = await answered("show", run.id, "--store", shop.path);
    expect(value["signals"]).toMatchObject([{ name: "later", value: { n: 1 } }]);
  });
});
