/** Where a value comes from is said as it was: through steps, reuse, overrides, answers, calls and inputs. */
import { Validator } from "@cfworker/json-schema";
import { beforeAll, afterAll, describe, expect, it } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { Decision, ProvDocument, RunHandle, Why } from "../src/index.ts";
import { doubtful, inDoubt } from "./doubt.ts";
import { provJsonSchema } from "./prov-json.ts";
import { errorOf, fresh, silent, stage, until } from "./stage.ts";

const classify = workflow({ name: "classify" }, (ctx, file: string) =>
  ctx.step("ask", { input: file }, () => ({ file, licence: file === "b" ? "GPL-3.0" : "MIT-0" })),
);
const audit = workflow({ name: "audit" }, async (ctx, { dir }: { dir: string }) => {
  const files = await ctx.step("list", { input: dir }, () => ["a", "b"]);
  const found: { file: string; licence: string }[] = [];
  for (const file of files) found.push(await ctx.call(classify, file));
  const { approve } = await ctx.wait<{ approve: string }>("approval", { input: found });
  await ctx.step("unrelated", () => "nothing to do with it");
  return ctx.step("report", { input: { found, approve } }, () => {
    if (broken) throw new Error("a bug");
    return { packages: found, approvedBy: approve };
  });
});

let broken = true;
const store = fresh();
const stemma = new Stemma({ store, workflows: [classify, audit], log: silent }, { lingerMs: 10 });
const asked = ({ id }: RunHandle): Promise<void> =>
  until(async () => (await stemma.waits()).waits.some(({ run }) => run === id));
let [source, again, forked]: RunHandle[] = [];

beforeAll(async () => {
  await stemma.start();
  source = await stemma.run(audit, { dir: "packages" });
  await asked(source);
  await stemma.resume(source.id, "approval", { approve: "as it is" }, { by: "ada" });
  await source.result().catch(() => {});
  broken = false;
  again = await stemma.restart(source.id, { reason: "the bug is mended" });
  await again.result();
  forked = await stemma.fork(again.id, { outputs: { list: ["c"] }, reason: "what if" });
  await asked(forked);
  await stemma.resume(forked.id, "approval", { approve: "too" }, { by: "eve" });
  await forked.result();
  await stemma.stop();
});
afterAll(() => store.close());

const places = (why: Why): string[] =>
  why.nodes.map(({ run, key, how, holds }) => {
    const of = run === source?.id ? "source" : run === again?.id ? "again" : run === forked?.id ? "forked" : "called";
    return `${of} ${key ?? ""} ${how}${holds === undefined ? "" : ` ${holds}`}`;
  });

describe("why", () => {
  it("leads from the output of a restart through what it reused to the runs that really executed", async () => {
    const why = await stemma.why(again?.id ?? "");
    const all = places(why);
    expect(all[0]).toBe("again  output");
    expect(all).toContain("again report ran");
    expect(all).toContain("again approval reused");
    expect(all).toContain("source approval answered");
    expect(all).toContain("again list reused");
    expect(all).toContain("source list ran");
    expect(all.filter((place) => place === "called ask ran")).toHaveLength(2);
    expect(all).toContain("source  input");
    expect(why.nodes.find(({ key, run }) => key === "approval" && run === source?.id)).toMatchObject({ by: "ada" });
    expect(new Set(why.nodes.map(({ id }) => id)).size).toBe(why.nodes.length);
    // Every place but the first is what another comes from.
    const named = new Set(why.nodes.flatMap(({ from }) => from.map(({ id }) => id)));
    expect(why.nodes.slice(1).every(({ id }) => named.has(id))).toBe(true);
  });

  it("is narrowed by a path to the places that hold what stands there, across runs", async () => {
    const why = await stemma.why(again?.id ?? "", "report", { path: "$.packages[1].licence" });
    expect(why).toMatchObject({ value: "GPL-3.0", narrowed: true });
    expect(places(why)).toEqual([
      "again report ran $.packages[1].licence",
      expect.stringMatching(/^again classify#2 reused \$\.licence$/),
      expect.stringMatching(/^source classify#2 called \$\.licence$/),
      "called  output $.licence",
      "called ask ran $.licence",
    ]);
    const chain = why.nodes.map(({ from }) => from.map(({ how }) => how).join());
    expect(chain).toEqual(["cause", "reused", "call", "cause", ""]);
  });

  it("ends at an output that somebody gave, with who and why", async () => {
    const why = await stemma.why(forked?.id ?? "", "list");
    expect(places(why)).toEqual(["forked list given"]);
    expect(why.nodes[0]?.reason).toBe("what if");
  });

  it("says that all causes are there where finding the value again says nothing", async () => {
    const why = await stemma.why(again?.id ?? "", "list", { path: "$[0]" });
    expect(why).toMatchObject({ value: "a" });
    expect((await stemma.why(source?.id ?? "", "list", { path: "$[0]" })).narrowed).toBe(false);
  });

  it("stops at its limit and says so", async () => {
    const why = await stemma.why(again?.id ?? "", undefined, { limit: 3 });
    expect(why.nodes).toHaveLength(3);
    expect(why.more).toBe(true);
  });

  it("refuses what is not there", async () => {
    expect((await errorOf(stemma.why(again?.id ?? "", "nothing"))).code).toBe("step.not_found");
    expect((await errorOf(stemma.why(source?.id ?? ""))).code).toBe("run.not_terminal");
    expect((await errorOf(stemma.why(again?.id ?? "", "list", { path: "$.x" }))).code).toBe("usage.invalid");
  });
});

describe("a step that was in doubt", () => {
  const bank = { by: "ada", reason: "asked the bank" };
  const decide = async (decision: Decision): Promise<{ why: Why; prov: ProvDocument }> => {
    const { definition } = doubtful();
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await inDoubt(theatre.stemma, run, "charge");
    await theatre.stemma.decide(run.id, "charge", decision, bank);
    await run.result().catch(() => {});
    return { why: await theatre.stemma.why(run.id, "charge"), prov: await theatre.stemma.prov(run.id) };
  };
  const agents = (prov: ProvDocument): unknown[] =>
    Object.values(prov.wasAttributedTo ?? {}).map((record) => record["prov:agent"]);
  const activities = (prov: ProvDocument): unknown[] =>
    Object.values(prov.activity ?? {}).map((record) => (record["prov:type"] as { $: string }).$);

  it("has its result from whoever gave it, who did not run it", async () => {
    const { why, prov } = await decide({ record: "receipt 17" });
    expect(why.value).toBe("receipt 17");
    expect(why.nodes[0]).toMatchObject({ how: "decided", status: "succeeded", ...bank });
    expect(agents(prov)).toEqual(["agent:ada"]);
    expect(activities(prov)).toEqual(["stemma:run", "stemma:decision"]);
    // What it was asked with led to it all the same.
    expect(why.nodes[0]?.from).toEqual([{ id: `${why.run} 0`, how: "cause" }]);
    expect(Object.values(prov.wasDerivedFrom ?? {})).toContainEqual({
      "prov:generatedEntity": expect.stringMatching(/\.value$/),
      "prov:usedEntity": `run:${why.run}.0.value`,
    });
  });

  it("has failed because somebody said so", async () => {
    const { why } = await decide({ fail: new Error("declined") });
    expect(why.nodes[0]).toMatchObject({ how: "decided", status: "failed", ...bank });
  });

  it("ran where it was only decided that it may: nobody gave its result", async () => {
    const { why, prov } = await decide("run");
    expect(why.value).toBe("charged by the step");
    expect(why.nodes[0]).toMatchObject({ how: "ran", status: "succeeded" });
    expect(why.nodes[0]).not.toHaveProperty("by");
    expect(agents(prov)).toEqual([]);
    expect(activities(prov)).toEqual(["stemma:run", "stemma:step"]);
  });

  it("is of software where its own reconcile found out what became of it", async () => {
    const { definition } = doubtful({ reconcile: () => ({ record: "in the books" }) });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await run.result();
    expect((await theatre.stemma.why(run.id, "charge")).nodes[0]).toMatchObject({ how: "decided", by: "reconcile" });
    const { agent } = await theatre.stemma.prov(run.id);
    expect(agent?.["agent:reconcile"]?.["prov:type"]).toMatchObject({ $: "prov:SoftwareAgent" });
  });
});

describe("PROV-JSON", () => {
  const valid = (document: unknown): string[] =>
    new Validator(provJsonSchema, "7")
      .validate(JSON.parse(JSON.stringify(document)))
      .errors.map(({ instanceLocation, error }) => `${instanceLocation}: ${error}`);
  const ids = (document: ProvDocument): Set<string> =>
    new Set([document.entity, document.activity, document.agent].flatMap((records) => Object.keys(records ?? {})));

  it("is valid by the schema, and whatever a relation names is in it", async () => {
    const document = await stemma.prov(source?.id ?? "", { family: true });
    expect(valid(document)).toEqual([]);
    const known = ids(document);
    for (const kind of [
      "used",
      "wasGeneratedBy",
      "wasDerivedFrom",
      "wasInformedBy",
      "wasAssociatedWith",
      "wasAttributedTo",
    ] as const) {
      for (const record of Object.values(document[kind] ?? {})) {
        for (const [attribute, named] of Object.entries(record)) {
          if (/^prov:(entity|activity|agent|informed|informant|generatedEntity|usedEntity)$/.test(attribute))
            expect(known, `${kind} ${attribute}`).toContain(named);
        }
      }
    }
    expect(Object.keys(document.wasDerivedFrom ?? {}).length).toBeGreaterThan(3);
    expect(Object.keys(document.wasAttributedTo ?? {}).length).toBeGreaterThan(1);
  });

  it("is of one run where that is asked for", async () => {
    const document = await stemma.prov(source?.id ?? "");
    expect(valid(document)).toEqual([]);
    expect(Object.keys(document.activity ?? {}).every((id) => id.startsWith(`run:${source?.id}`))).toBe(true);
  });

  it("is not valid when a record lacks what it must have, or has what none may have", () => {
    expect(valid({ prefix: {}, wasDerivedFrom: { "_:r1": { "prov:usedEntity": "a:b" } } })).not.toEqual([]);
    expect(valid({ prefix: {}, entity: { "a b": {} } })).not.toEqual([]);
    expect(valid({ prefix: {}, steps: {} })).not.toEqual([]);
    expect(valid({ prefix: {}, activity: { "a:b": { "prov:startTime": "yesterday" } } })).not.toEqual([]);
  });
});
