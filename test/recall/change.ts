/** Changes to the code of a program while a run of it is in flight, as an author would make them. */
import fc from "fast-check";
import type { Program } from "./program.ts";
import { programs } from "./program.ts";

export type Change = { at: number; how: "rename" | "input" | "concurrency" | "remove" | "wrap" };

export const changes: fc.Arbitrary<Change> = fc.record({
  at: fc.nat(20),
  how: fc.constantFrom("rename" as const, "input" as const, "concurrency" as const, "remove" as const, "wrap" as const),
});

/** The program with one change, at the first fitting place from the `at`-th node on; the same where nothing fits. */
export function changed(program: Program, change: Change): Program {
  let at = 0;
  let done = false;
  const visit = (node: Program): Program => {
    const here = at++;
    if (!done && here >= change.at % 8) {
      const next = apply(node, change.how);
      if (next !== undefined) {
        done = true;
        return next;
      }
    }
    return within(node, visit);
  };
  return visit(program);
}

/** Where new code comes in, under which name. */
export type Guard = { at: number; name: string; part: Program };

export const guards: fc.Arbitrary<Guard[]> = fc.array(
  fc.record({ at: fc.nat(12), name: fc.constantFrom("p", "q", "r"), part: programs }),
  { minLength: 1, maxLength: 3 },
);

/** The program with new code in some places, each behind a guard that keeps the old code for runs that were there. */
export function guarded(program: Program, list: readonly Guard[]): Program {
  let at = 0;
  const visit = (node: Program): Program => {
    const here = at++;
    const inner = within(node, visit);
    const guard = list.find((one) => one.at === here) ?? (here === 0 ? list.find((one) => one.at > 8) : undefined);
    return guard === undefined ? inner : { do: "patched", name: guard.name, part: guard.part, other: inner };
  };
  return visit(program);
}

function within(node: Program, visit: (node: Program) => Program): Program {
  if ("parts" in node) return { ...node, parts: node.parts.map(visit) };
  if ("other" in node) return { ...node, part: visit(node.part), other: visit(node.other) };
  if ("part" in node) return { ...node, part: visit(node.part) };
  return node;
}

function apply(node: Program, how: Change["how"]): Program | undefined {
  if (how === "rename" && node.do === "step") return { ...node, name: `${node.name}-renamed` };
  if (how === "input" && node.do === "step") return { ...node, input: (node.input ?? 0) + 10 };
  if (how === "input" && node.do === "map") return { ...node, items: [...node.items, 7] };
  if (how === "concurrency" && node.do === "map") return { ...node, concurrency: node.concurrency + 1 };
  if (how === "remove" && "parts" in node && node.parts.length > 1) return { ...node, parts: node.parts.slice(1) };
  if (how === "remove" && node.do === "step") return { do: "sequence", parts: [] };
  if (how === "wrap" && node.do === "step") return { do: "scope", name: "wrapped", part: node };
  return undefined;
}
