import { expect, test } from "vitest";
import { errorOf, fresh } from "../../test/stage.ts";
import type { Origin } from "../core/event.ts";
import { Stemma } from "./stemma.ts";
import { newRunId } from "./id.ts";
import { buildRun } from "./new-run.ts";
import { toValue } from "./value.ts";

/** A family in a store, as restarts and forks leave it: `sources[i]` is the run that the next one comes from. */
async function familyOf(store: ReturnType<typeof fresh>, sources: readonly number[]): Promise<string[]> {
  const ids: string[] = [];
  for (const [i, source] of [-1, ...sources].entries()) {
    const id = newRunId(1000 + i);
    const from = ids[source];
    const origin: Origin = from === undefined ? { kind: "new" } : { kind: "fork", run: from, seq: 0, hash: "h" };
    const workflow = { name: "w", version: 1 };
    ids.push(id);
    await store.create([
      buildRun({ id, workflow, input: toValue(i, "input"), origin, family: ids[0] ?? id, at: 1000 + i }),
    ]);
  }
  return ids;
}

test("the lineage of a run has its ancestors, its descendants, its siblings and every run of its family", async () => {
  await using store = fresh();
  const ids = await familyOf(store, [0, 1, 1, 2]);
  const [a, b, c, d, e] = ids;
  const stemma = new Stemma({ store });
  const lineage = await stemma.lineage(c ?? "");
  expect(lineage).toMatchObject({ run: c, family: a, ancestors: [b, a], descendants: [e], siblings: [d] });
  expect(lineage.runs.map(({ id, source }) => [id, source])).toEqual([
    [a, undefined],
    [b, a],
    [c, b],
    [d, b],
    [e, c],
  ]);
  expect((await errorOf(stemma.lineage(newRunId(1)))).code).toBe("run.not_found");
});

test("a chain of a thousand forks of forks has its lineage, whole and in order", async () => {
  await using store = fresh();
  const ids = await familyOf(
    store,
    Array.from({ length: 1000 }, (_, i) => i),
  );
  const lineage = await new Stemma({ store }).lineage(ids.at(-1) ?? "");
  expect(lineage.ancestors).toEqual(ids.slice(0, -1).toReversed());
  expect(lineage.runs.map(({ id }) => id)).toEqual(ids);
});
