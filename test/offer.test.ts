/** Workflows offered on a Stemma that is made already: they are as good as those that it was made with. */
import { describe, expect, it } from "vitest";
import { Stemma, noWorkerOffers, workflow } from "../src/index.ts";
import type { Workflow } from "../src/index.ts";
import { errorOf, fresh, listening, silent, stage, until } from "./stage.ts";

describe("stemma.offer", () => {
  it("works on a started Stemma: a run that waited for the workflow is claimed at once, and rows say it is offered", async () => {
    await using store = fresh();
    const late = workflow({ name: "late" }, (ctx, input: number) => ctx.step("twice", () => input * 2));
    await using other = await stage([workflow({ name: "other" }, async () => 0)], { store }, { pollMs: 3_600_000 });
    const run = await new Stemma({ store, log: silent }).run(late, 21);
    expect(noWorkerOffers(await other.stemma.row(run.id))).toMatch(/no worker offers late@1/);
    expect(other.stemma.offer(late)).toBe(other.stemma);
    // The worker polls once an hour: that it comes to the run is because it was told to look.
    expect(await (await other.stemma.get(run.id)).result()).toBe(42);
    expect((await other.stemma.row(run.id)).offered).toBe(true);
    expect(other.stemma.workflow("late")).toBe(late);
  });

  it("says of no run that nobody offers its workflow when it does so itself, from now on", async () => {
    await using store = fresh();
    const late = workflow({ name: "late" }, async () => "done");
    const run = await new Stemma({ store, log: silent }).run(late, undefined);
    const log = listening();
    await using other = await stage([], { store, log });
    other.stemma.offer(late);
    expect(await (await other.stemma.get(run.id)).result()).toBe("done");
    expect(log.lines.filter((line) => line.startsWith("warn"))).toEqual([]);
  });

  it("works before start, on a Stemma that was made with nothing", async () => {
    await using store = fresh();
    const [one, two] = [workflow({ name: "one" }, async () => 1), workflow({ name: "two" }, async () => 2)];
    const stemma = new Stemma({ store, log: silent }).offer(one, two);
    await stemma.start();
    const runs = await Promise.all([stemma.run(one, undefined), stemma.run(two, undefined)]);
    expect(await Promise.all(runs.map((run) => run.result()))).toEqual([1, 2]);
    await stemma.stop();
  });

  it("takes another version beside the first, and each run goes on with its own", async () => {
    const first = workflow({ name: "code" }, async (ctx) => `first ${String(await ctx.wait("go"))}`);
    const second = workflow({ name: "code", version: 2 }, async () => "second");
    await using place = await stage([first]);
    const { stemma } = place;
    const old = await stemma.run(first, undefined);
    await until(async () => (await stemma.waits()).waits.length === 1);
    stemma.offer(second);
    expect(stemma.workflow("code")).toBe(second);
    expect(await (await stemma.run(second, undefined)).result()).toBe("second");
    await stemma.resume(old.id, "go", "on");
    expect(await old.result()).toBe("first on");
  });

  it("takes the same workflow again, and refuses another body under its name and version, and then all of the call", async () => {
    const made = (result: number) => workflow({ name: "code" }, async () => result);
    const [one, another] = [made(1), made(1)];
    const besides = workflow({ name: "besides" }, async () => 0);
    await using place = await stage([one]);
    const { stemma } = place;
    expect(stemma.offer(one).offer(one, { ...one })).toBe(stemma);
    const refused = (...all: readonly Workflow[]) => errorOf((async () => stemma.offer(...all))());
    expect(await refused(besides, another)).toMatchObject({
      code: "workflow.duplicate",
      data: { workflow: "code", version: 1 },
    });
    expect(await refused({} as never)).toMatchObject({ code: "workflow.invalid" });
    expect(() => stemma.workflow("besides")).toThrow(expect.objectContaining({ code: "workflow.not_found" }));
    expect(await (await stemma.run(one, undefined)).result()).toBe(1);
  });

  it("is refused once the Stemma is stopped", async () => {
    const one = workflow({ name: "one" }, async () => 1);
    const place = await stage([]);
    await place[Symbol.asyncDispose]();
    const error = await errorOf((async () => place.stemma.offer(one))());
    expect(error).toMatchObject({ code: "engine.stopped" });
    expect(() => place.stemma.workflow("one")).toThrow(expect.objectContaining({ code: "workflow.not_found" }));
  });

  it("has the worker warn of runs that the version offered leaves behind, also where it had offered nothing", async () => {
    await using store = fresh();
    const log = listening();
    const code = (version: number) => workflow({ name: "code", version }, async () => version);
    await new Stemma({ store, log: silent }).run(code(1), undefined);
    await using place = await stage([], { store, log });
    place.stemma.offer(code(2));
    await until(() => log.lines.some((line) => line.startsWith("warn no worker offers code@1")));
    expect(log.lines).toHaveLength(1);
  });
});
