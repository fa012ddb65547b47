/** The testing kit as its users have it: the five lines of the README, and any small workflow under any faults. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Context } from "../src/index.ts";
import { Stemma, reduceAll, workflow } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import type { FaultPoint, StoreErrorCode } from "../src/testing.ts";
import { fakeClock, faultPoints, faults } from "../src/testing.ts";
import { unseal } from "../src/core/chain.ts";
import type { Commit, CommitResult, Store } from "../src/store/store.ts";
import { around } from "../src/testing/around.ts";
import { silent } from "./stage.ts";

const order = workflow({ name: "order" }, async (ctx, input: { card: string }) => {
  await ctx.step("charge", { input: input.card }, (card) => `paid with ${card}`);
  await ctx.sleep("cooling off", "14d");
  return ctx.step("ship", () => "shipped");
});

describe("the README", () => {
  it("tests a workflow of two weeks in five lines", async () => {
    const clock = fakeClock();
    await using stemma = await new Stemma({ store: sqlite(":memory:"), workflows: [order], clock }).start();
    const run = await stemma.run(order, { card: "4242" });
    await clock.advance("14d");
    expect(await run.result()).toBe("shipped");
  });

  it("tests a crash behind a commit that nobody heard of", async () => {
    const clock = fakeClock();
    const first = faults(sqlite(":memory:"));
    first.crash("commit.after", 2); // the second commit is written, and the process dies before it hears so
    const dying = await new Stemma({ store: first, workflows: [order], clock }).start();
    const { id } = await dying.run(order, { card: "4242" });
    await first.crashed;
    dying.abandon();

    await using stemma = await new Stemma({ store: first.next(), workflows: [order], clock }).start();
    await clock.advance("15d");
    expect(await (await stemma.get(id)).result()).toBe("shipped");
  });

  it("shows these very lines", () => {
    const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
    const [, ...bodies] = readFileSync(import.meta.filename, "utf8").split(/^ {2}it\("tests /mu);
    for (const body of bodies.slice(0, 2)) {
      const lines = body.split("\n").slice(1);
      const code = lines.slice(0, lines.indexOf("  });")).map((line) => line.slice(4));
      expect(code.length).toBeGreaterThan(4);
      expect(readme).toContain(code.join("\n"));
    }
  });
});

/** A small program: what to do one after the other. */
type Part =
  | { do: "step" }
  | { do: "map"; items: number }
  | { do: "sleep"; hours: number }
  | { do: "all"; hours: number };

const hours = fc.integer({ min: 1, max: 500 });
const programs: fc.Arbitrary<Part[]> = fc.array(
  fc.oneof(
    fc.constant<Part>({ do: "step" }),
    fc.record({ do: fc.constant("map" as const), items: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ do: fc.constant("sleep" as const), hours }),
    fc.record({ do: fc.constant("all" as const), hours }),
  ),
  { minLength: 1, maxLength: 5 },
);

type Fault = { point: FaultPoint; code: StoreErrorCode | undefined; at: number };

/** What goes wrong in the life of each process. Runs are created by another one. */
const troubles: fc.Arbitrary<Fault[]> = fc.array(
  fc.record({
    point: fc.constantFrom(...faultPoints.filter((point) => !point.startsWith("create"))),
    code: fc.constantFrom<StoreErrorCode | undefined>(undefined, undefined, "store.busy", "store.unavailable"),
    at: fc.integer({ min: 1, max: 8 }),
  }),
  { minLength: 1, maxLength: 4 },
);

async function follow(ctx: Context, program: readonly Part[], enter: (name: string) => string): Promise<string[]> {
  const said: string[] = [];
  const step = (name: string): Promise<string> => ctx.step(name, () => enter(name));
  for (const [i, part] of program.entries()) {
    if (part.do === "step") said.push(await step(`s${i}`));
    else if (part.do === "sleep") await ctx.sleep(`n${i}`, `${part.hours}h`);
    else if (part.do === "map") {
      const items = Array.from({ length: part.items }, (_, n) => `m${i}.${n}`);
      said.push(...(await ctx.map(`m${i}`, items, (name) => enter(name))));
    } else {
      const late = async (): Promise<string> => {
        await ctx.sleep(`${part.hours}h`);
        return step(`late${i}`);
      };
      const both = await ctx.all({ soon: () => step(`soon${i}`), late });
      said.push(both.soon, both.late);
    }
  }
  return said;
}

/** What a program says, and how many hours it sleeps. */
function expected(program: readonly Part[]): { said: string[]; hours: number } {
  const said = program.flatMap((part, i) => {
    if (part.do === "map") return Array.from({ length: part.items }, (_, n) => `m${i}.${n}`);
    return part.do === "step" ? [`s${i}`] : part.do === "all" ? [`soon${i}`, `late${i}`] : [];
  });
  return { said, hours: program.reduce((sum, part) => sum + ("hours" in part ? part.hours : 0), 0) };
}

type Outcome = { status: string; said: unknown; twice: string[]; lateMs: number; crashes: number };

/** Lives a program among processes of which each has its trouble and one has none, and says what came of it. */
async function endure(program: readonly Part[], all: readonly Fault[]): Promise<Outcome> {
  const clock = fakeClock();
  const recorded = new Set<string>();
  const twice: string[] = [];
  const enter = (name: string): string => {
    if (recorded.has(name)) twice.push(name);
    return name;
  };
  const definition = workflow({ name: "any" }, (ctx: Context) => follow(ctx, program, enter));
  const store = recording(sqlite(":memory:"), recorded);
  const client = new Stemma({ store, clock, log: silent });
  const begun = clock.now();
  const run = await client.run(definition, undefined);
  let crashes = 0;
  const processes = [...all, undefined].map((fault) => {
    const faulty = faults(store);
    if (fault?.code !== undefined) faulty.fail(fault.point, fault.code, fault.at);
    else if (fault !== undefined) faulty.crash(fault.point, fault.at);
    const stemma = new Stemma({ store: faulty, workflows: [definition], clock, log: silent });
    void faulty.crashed.then(() => {
      crashes += 1;
      stemma.abandon();
    });
    // A first claim that fails is made again; one that crashes is never answered.
    void stemma.start().catch(() => stemma.start());
    return stemma;
  });
  await clock.advance("20w");
  for (const stemma of processes) stemma.abandon();
  const history = await run.history();
  const { status } = reduceAll(history);
  const said = status === "succeeded" ? await run.result() : undefined;
  await client.stop();
  const lateMs = (history.at(-1)?.at ?? 0) - begun - expected(program).hours * 3_600_000;
  return { status, said, twice, lateMs, crashes };
}

/** The store, which notes the steps that are on record. */
function recording(store: Store, recorded: Set<string>): Store {
  return around(
    store,
    async (call) => {
      const answer = await call.make();
      if (call.method !== "commit") return answer;
      for (const [i, part] of (call.args[0] as Commit[]).entries()) {
        if ((answer as CommitResult[])[i]?.ok !== true) continue;
        for (const { data } of part.events.map(unseal).filter(({ type }) => type === "step.succeeded"))
          recorded.add((data as { key: string }).key);
      }
      return answer;
    },
    {},
  );
}

describe("any small workflow under any faults", () => {
  it("ends as it does without, at its time but for leases that had to run out, and repeats nothing recorded", async () => {
    let crashes = 0;
    await fc.assert(
      fc.asyncProperty(programs, troubles, async (program, all) => {
        const outcome = await endure(program, all);
        crashes += outcome.crashes;
        expect(outcome).toMatchObject({ status: "succeeded", said: expected(program).said, twice: [] });
        // Each process that dies may cost its lease of 15 s, and each error some pauses.
        expect(outcome.lateMs).toBeGreaterThanOrEqual(0);
        expect(outcome.lateMs).toBeLessThanOrEqual(all.length * 20_000);
      }),
      { numRuns: 300 },
    );
    expect(crashes).toBeGreaterThan(50);
  });
});
