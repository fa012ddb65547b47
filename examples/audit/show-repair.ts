/** What the demonstration prints of the restart and the fork: plan, bill, comparison, and how to look further. */
import type { Comparison, Plan } from "../../src/index.ts";
import { asked } from "./figures.ts";
import { price } from "./ledger.ts";
import type { Bill } from "./repair.ts";
import { commandFor } from "./show.ts";
import type { StorePlace } from "./store.ts";
import { table } from "./table.ts";
import type { Cell } from "./table.ts";

/** How many steps of a kind are named. */
const shownMax = 6;

/** What becomes of how many steps: some of those that run, all that it is not sure of, and the sum. */
export function planLines({ steps, totals }: Plan): string[] {
  const { reuse, run, depends, decide, runs } = totals;
  const [sure, open] = [["run"], ["depends", "decide"]].map((wanted) =>
    steps.filter(({ verdict }) => wanted.includes(verdict)),
  );
  const rowsOf = (some: Plan["steps"] = []): Cell[][] =>
    some.slice(0, shownMax).map(({ key, verdict, reason }) => [verdict, key, reason]);
  const left = (sure?.length ?? 0) - shownMax;
  const more: Cell[][] = left > 0 ? [["", `and ${left} more that run`, ""]] : [];
  return [
    ...table(["Verdict", "Step", "Why"], [...rowsOf(sure), ...more, ...rowsOf(open)]),
    "",
    `  ${reuse} steps are reused, ${run} run, and of ${depends + decide} it depends on what comes out:`,
    `  ${runs[0]} to ${runs[1]} are entered`,
  ];
}

const parts: readonly (readonly [keyof Bill, string])[] = [
  ["first", "the run that failed"],
  ["restart", "its restart"],
  ["fork", "the fork of that"],
];

export function billLines(bill: Bill): string[] {
  const rows = parts.map(([part, name]): Cell[] => {
    const { before, after } = bill[part];
    const charged = after.charged - before.charged;
    const cents = ((charged * price) / 1000).toFixed(1);
    return [name, after.requests - before.requests, asked(after) - asked(before), charged, `${cents} cents`];
  });
  return table(["", "Requests", "Answered", "Charged", "Paid"], rows);
}

/** What differs between two runs, and from where on. */
export function comparisonLines({ steps, totals, first }: Comparison): string[] {
  const differing = steps.filter(({ change }) => change !== "same");
  const rows = differing.slice(0, shownMax).map(({ change, a, b, differences }): Cell[] => {
    const [place] = differences.flatMap(({ aspect, places }) => places.map(({ path }) => `${aspect} ${path}`));
    return [change, (a ?? b)?.key ?? "", place ?? ""];
  });
  const from = first === undefined ? undefined : steps[first];
  return [
    ...table(["Change", "Step", "Where"], rows),
    ...(differing.length > shownMax ? [`  and ${differing.length - shownMax} more`] : []),
    "",
    `  ${totals.same} steps are the same; they differ from ${(from?.a ?? from?.b)?.key ?? "nowhere"} on`,
  ];
}

/** Commands to look at the runs that came from one another. */
export function familyCommands(
  { failed, restarted, forked }: { failed: string; restarted: string; forked: string },
  store: StorePlace,
): string[] {
  if (!("file" in store)) return [];
  const commands = [
    ["lineage", restarted],
    ["plan", failed],
    ["compare", restarted, forked],
    ["trace", restarted, "--family", "--format", "mermaid"],
  ];
  return commands.flatMap((words) => commandFor(words, store));
}
