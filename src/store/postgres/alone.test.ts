/** One run alone is appended to by statements of another form than many: whatever is appended, they do the same. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { afterAll, beforeAll, test } from "vitest";

import { dropSchema, newSchema, postgresUrl } from "../../../test/postgres/database.ts";
import { postgres } from "../../postgres.ts";
import type { Bench, Step } from "../../testing/conformance/fixture.ts";
import {
  after,
  claim,
  message,
  offer,
  openBench,
  payloadOf,
  started,
  succeeded,
} from "../../testing/conformance/fixture.ts";
import type { Commit, NewRun, RunRow } from "../store.ts";

let url = "";
const schemas: string[] = [];
beforeAll(async () => {
  url = await postgresUrl();
});
afterAll(async () => dropSchema(url, schemas));

async function openOne(): Promise<{ bench: Bench; cleanup(): Promise<void> }> {
  return openBench(async ({ now }) => {
    const schema = newSchema();
    schemas.push(schema);
    const store = postgres({ url, schema, now });
    return { store, cleanup: () => store.close() };
  });
}

/** What happens to the run, in both stores. */
type Act =
  | { kind: "send"; key: number }
  | { kind: "claim" }
  | {
      kind: "append";
      steps: ("step" | "large" | "tags")[];
      wrong: "nothing" | "epoch" | "seq";
      takeIn: boolean;
      progress: boolean;
      release: Commit["release"] | undefined;
    };

const release: fc.Arbitrary<Commit["release"] | undefined> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  fc.record(
    {
      dueAt: fc.constantFrom(null, 0, 1_900_000_000_000),
      force: fc.boolean(),
      untried: fc.boolean(),
    },
    { requiredKeys: ["dueAt"] },
  ),
);

const act: fc.Arbitrary<Act> = fc.oneof(
  fc.record({ kind: fc.constant("send" as const), key: fc.nat(5) }),
  fc.record({ kind: fc.constant("claim" as const) }),
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("append" as const),
      steps: fc.array(fc.constantFrom("step" as const, "large" as const, "tags" as const), { maxLength: 4 }),
      wrong: fc.constantFrom(
        "nothing" as const,
        "nothing" as const,
        "nothing" as const,
        "epoch" as const,
        "seq" as const,
      ),
      takeIn: fc.boolean(),
      progress: fc.boolean(),
      release,
    }),
  },
);

/** A part and what it says of the run, from the same row in both stores. */
function partOf(bench: Bench, row: RunRow, inbox: number, made: Extract<Act, { kind: "append" }>): Commit {
  const large = payloadOf({ text: `large ${row.state.seq}` });
  const steps = made.steps.map((kind, i): Step => {
    if (kind === "tags") return { type: "run.set", data: { tags: [`t${row.state.seq}`, "both"] } };
    return succeeded(`s${row.state.seq}.${i}`, kind === "large" ? large.value : { inline: i });
  });
  const part = bench.part(row, steps, {
    payloads: made.steps.includes("large") ? [large.payload] : [],
    inbox: made.takeIn ? inbox : row.inboxDone,
    progress: made.progress,
    ...(made.release === undefined ? {} : { release: made.release }),
  });
  if (made.wrong === "epoch") return { ...part, epoch: part.epoch + 1 };
  return made.wrong === "nothing"
    ? part
    : { ...part, seq: part.seq + 1, events: part.events.map((event) => ({ ...event, seq: event.seq + 1 })) };
}

/** Another run that something is always done to at the same time. */
class Bystander {
  readonly #bench: Bench;
  readonly run: NewRun;
  #row: RunRow | undefined;

  constructor(bench: Bench, workflow: string) {
    this.#bench = bench;
    this.run = bench.newRun({ workflow, tags: ["other"] });
  }

  held(row: RunRow | undefined): void {
    this.#row ??= row;
  }

  part(): Commit[] {
    if (this.#row === undefined) return [];
    const part = this.#bench.part(this.#row, [succeeded(`b${this.#row.state.seq}`)]);
    this.#row = after(this.#row, part);
    return [part];
  }
}

async function seen({ store }: Bench, id: string, workflow: string): Promise<unknown> {
  const page = await store.history(id, { after: -1, limit: 1000 });
  const tagged = await store.list({ workflow, tag: "both" });
  const digests = page?.events.flatMap(({ data }) =>
    [...data.matchAll(/"digest":"(\w+)"/g)].map(([, digest]) => digest),
  );
  const texts = await store.payloads((digests ?? []) as string[]);
  return { page, tagged: tagged.runs.map((row) => row.id), texts };
}

test("a run alone is appended to as it is among others", { timeout: 120_000 }, async () => {
  const [alone, among] = await Promise.all([openOne(), openOne()]);
  let tries = 0;
  try {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(act, { minLength: 1, maxLength: 8 }), async (tagged, acts) => {
        // Of each try its own, so that what one leaves behind is nothing to the next.
        const workflow = `w${(tries += 1)}`;
        const offers = [{ ...offer, workflow }];
        const run = alone.bench.newRun({ workflow, ...(tagged ? { tags: ["both", "new"] } : {}) });
        const bystander = new Bystander(among.bench, workflow);
        await alone.bench.store.create([run]);
        await among.bench.store.create([bystander.run, run]);
        let row: RunRow | undefined;
        const claimBoth = async (): Promise<void> => {
          const [a, b] = await Promise.all([
            claim(alone.bench.store, "worker-a", { offers }),
            claim(among.bench.store, "worker-a", { offers }),
          ]);
          const of = (rows: readonly RunRow[], id: string): RunRow | undefined => rows.find((one) => one.id === id);
          bystander.held(of(b.runs, bystander.run.id));
          assert.deepEqual(of(a.runs, run.id), of(b.runs, run.id));
          row = of(a.runs, run.id) ?? row;
        };
        await claimBoth();
        assert.ok(row);
        row = await acceptBoth(row, [started]);
        for (const one of acts) {
          if (one.kind === "claim") await claimBoth();
          else if (one.kind === "send") {
            const sent = await Promise.all(
              [alone, among].map(({ bench }) => bench.store.send([message(run.id, String(one.key))])),
            );
            assert.deepEqual(sent[0], sent[1]);
          } else {
            const page = await alone.bench.store.history(run.id, { after: -1, limit: 1 });
            row = await appendBoth(row, partOf(alone.bench, row, page?.row.inbox ?? 0, one));
          }
          assert.deepEqual(await seen(alone.bench, run.id, workflow), await seen(among.bench, run.id, workflow));
        }

        async function acceptBoth(from: RunRow, steps: readonly Step[]): Promise<RunRow> {
          return appendBoth(from, alone.bench.part(from, steps));
        }
        async function appendBoth(from: RunRow, part: Commit): Promise<RunRow> {
          const [[a], [b]] = await Promise.all([
            alone.bench.store.commit([part]),
            among.bench.store.commit([part, ...bystander.part()]),
          ]);
          assert.deepEqual(a, b);
          return a?.ok === true ? after(from, part) : from;
        }
      }),
      { numRuns: 60 },
    );
  } finally {
    await alone.cleanup();
    await among.cleanup();
  }
});
