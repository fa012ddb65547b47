/**
 * The same run, lived in different ways: without a stop, with a rest at every wait, moved to another process at every
 * wait, and with a crash right behind or right before each thing that comes from outside. What it is must be the same.
 */
import { unseal } from "../src/core/chain.ts";
import type { Event, EventType, RunHandle, Store, Trace, Workflow } from "../src/index.ts";
import { Stemma } from "../src/index.ts";
import type { Faults } from "../src/testing.ts";
import { faults } from "../src/testing.ts";
import { fresh, outline, silent, until } from "./stage.ts";

export const lives = ["never stops", "rests", "rests warm", "moves", "crashes behind", "crashes before"] as const;
export type Life = (typeof lives)[number];

/** Something done from outside, when all of `open` wait, and what it becomes in the history. */
export type Act = {
  open: readonly string[];
  becomes: EventType;
  do: (stemma: Stemma, run: string) => Promise<unknown>;
};

export type Lived = { run: string; trace: Trace; family: Trace; outline: string[]; status: string; history: Event[] };

/** Lives a run to its end. Ids of runs are of the run itself (`R`), and of its children in the order of their creation. */
export async function live(
  workflows: readonly [Workflow, ...Workflow[]],
  acts: readonly Act[],
  life: Life,
): Promise<Lived> {
  const origin = fresh();
  let store: Store & Faults<Store> = faults<Store>(origin);
  let stemma = await begin(store, workflows, life);
  try {
    let run: RunHandle = await stemma.run(workflows[0] as Workflow<undefined>, undefined);
    const { id } = run;
    for (const act of acts) {
      await ready(stemma, run, act.open, life);
      if (life === "moves") {
        await stemma.stop();
        stemma = await begin(store, workflows, life);
      }
      const before = (await count(run, act.becomes)) + 1;
      if (life.startsWith("crashes")) {
        store.crash(life === "crashes behind" ? "commit.after" : "commit.before", (commits) =>
          commits.some(
            ({ run: of, events }) => of === id && events.some((event) => unseal(event).type === act.becomes),
          ),
        );
        // Whoever asked dies with the process; the request is in the inbox all the same.
        void act.do(stemma, id);
        await store.crashed;
        stemma.abandon();
        store = store.next();
        stemma = await begin(store, workflows, life);
      } else await act.do(stemma, id);
      run = await stemma.get(id);
      await until(async () => (await count(run, act.becomes)) >= before);
    }
    run = await stemma.get(id);
    await run.result().catch(() => undefined);
    if (store.unreached().length > 0) throw new Error(store.unreached().join("\n"));
    return await told(stemma, run);
  } finally {
    await stemma.stop({ timeout: 1000 });
    await origin.close();
  }
}

function begin(store: Store, workflows: readonly Workflow[], life: Life): Promise<Stemma> {
  const lingerMs = life === "never stops" ? 600_000 : 1;
  const warm = life === "rests warm" ? 100 : 0;
  return new Stemma({ store, workflows, log: silent, lease: 200, warm }, { lingerMs }).start();
}

/** A run that never stops is asked while it runs; any other when it rests. */
async function ready(stemma: Stemma, run: RunHandle, open: readonly string[], life: Life): Promise<void> {
  await until(async () => {
    const { waits } = await stemma.waits();
    return open.every((key) => waits.some((wait) => wait.key === key));
  });
  if (life !== "never stops") await until(async () => (await run.status()) === "suspended");
}

async function count(run: RunHandle, type: EventType): Promise<number> {
  return (await run.history()).filter((event) => event.type === type).length;
}

async function told(stemma: Stemma, run: RunHandle): Promise<Lived> {
  const family = await stemma.trace(run.id, { family: true });
  const runs = [...new Set(family.nodes.map((node) => node.run))].toSorted();
  const named = <T>(value: T): T =>
    JSON.parse(runs.reduce((text, id, i) => text.replaceAll(id, i === 0 ? "R" : `C${i}`), JSON.stringify(value))) as T;
  return {
    run: run.id,
    trace: named(await run.trace()),
    family: named(family),
    outline: await outline(run),
    status: await run.status(),
    history: await run.history(),
  };
}

/** Ids of the edges that lead to a node. */
export function into(graph: Trace, node: string): string[] {
  return graph.edges.filter(({ to }) => to === node).map(({ id }) => id);
}

/** `n key status` of the steps. */
export function steps(graph: Trace): string[] {
  return graph.nodes.flatMap(({ kind, n, key, status }) => (kind === "step" ? [`${n} ${key} ${status}`] : []));
}
