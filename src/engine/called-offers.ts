/**
 * What the runs below a source have on offer. Where equal calls get the earliest success (`earliest`), it does not matter
 * who made them: a call of a node's function is known by its target, input and context alone. So a restart under that
 * contract, and the runs that it calls, are offered what the whole tree of the source has. Only functions of nodes are:
 * elsewhere the name of a step says what it is only together with the workflow that it is of.
 */
import type { OfferedRun, Produced, RunId, SeqRange } from "../core/event.ts";
import { isIn, union } from "../core/cut.ts";
import { limits } from "../core/limits.ts";
import type { RunRow, Store } from "../store/store.ts";
import { callerOf } from "./children.ts";
import { isFunctionName } from "./node-function.ts";
import { lookThrough, undoneIn } from "./source.ts";

/** As many runs of a family as are looked through; what is beyond runs again. */
const rowsMax = 20_000;

type Below = { row: RunRow; caller: Produced };

/**
 * The runs that a run has called, and those called, in the order of the calls.
 *
 * @param path keys from a call of `root` down to the step that runs again, with all that it caused on each level
 */
export async function calledOffers(store: Store, root: RunRow, path: readonly string[]): Promise<OfferedRun[]> {
  if (!isFunctionName(root.state.workflow)) return [];
  const called = await calledIn(store, root);
  const offers: OfferedRun[] = [];
  const visit = async (row: RunRow, keys: readonly string[], isCut: boolean): Promise<void> => {
    const ranges = isCut ? whole(row) : await behind(store, row, keys);
    if (row.id !== root.id && isFunctionName(row.state.workflow)) {
      const cut = union(ranges, await undoneIn(store, row));
      offers.push({ run: row.id, head: row.state.seq, ...(cut.length === 0 ? {} : { cut }) });
    }
    const [key, ...deeper] = keys;
    for (const { row: below, caller } of called.get(row.id) ?? []) {
      const isOnPath = !isCut && caller.key === key && deeper.length > 0;
      await visit(below, isOnPath ? deeper : [], isCut || (!isOnPath && isIn(ranges, caller.seq)));
    }
  };
  await visit(root, path, false);
  return offers;
}

function whole({ state }: RunRow): SeqRange[] {
  return [[1, state.seq]];
}

async function behind(store: Store, row: RunRow, [key]: readonly string[]): Promise<SeqRange[]> {
  if (key === undefined) return [];
  return (await lookThrough(store, row.id, row.state.seq, { key, isItself: true })).ranges;
}

async function calledIn(store: Pick<Store, "list">, { state }: RunRow): Promise<ReadonlyMap<RunId, Below[]>> {
  const called = new Map<RunId, Below[]>();
  let cursor: string | undefined;
  let looked = 0;
  do {
    const query = { family: state.family, limit: limits.pageRunsMax };
    const page = await store.list(cursor === undefined ? query : { ...query, cursor });
    looked += page.runs.length;
    for (const row of page.runs) {
      const caller = callerOf(row.state.origin);
      if (caller === undefined) continue;
      const below = called.get(caller.run);
      if (below === undefined) called.set(caller.run, [{ row, caller }]);
      else below.push({ row, caller });
    }
    ({ cursor } = page);
  } while (cursor !== undefined && looked < rowsMax);
  for (const below of called.values()) below.sort((a, b) => a.caller.seq - b.caller.seq);
  return called;
}
