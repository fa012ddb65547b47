/** The family of a run as a tree of lines: where each run comes from, how it stands, and why it was made. */
import { formatDuration } from "../core/duration.ts";
import type { RunId } from "../core/event.ts";
import type { FamilyMember, Lineage } from "../engine/lineage.ts";
import { lookOf, relativeText, wordsOf } from "./look.ts";
import type { Cell } from "./table.ts";
import { shorten } from "./terminal.ts";
import type { TreeNode } from "./tree.ts";
import { drawTree } from "./tree.ts";

export type LineageOptions = { now: number; width: number; all: boolean };

/** How many branchings below one another, runs beside one another and runs behind one another are drawn. */
const depthMax = 12;
const besideMax = 20;
const behindMax = 30;
const reasonCharsMax = 200;

/** The lines of `stemma lineage`. */
export function lineageLines(lineage: Lineage, options: LineageOptions): string[] {
  const drawing = drawingOf(lineage, options);
  const above = drawing.above === 0 ? [] : [moreNode(`… ${drawing.above} more that these come from`)];
  return drawTree([...above, ...childrenOf(drawing.roots, 0, undefined, drawing)], options.width);
}

type Drawing = LineageOptions & {
  run: RunId;
  roots: readonly FamilyMember[];
  cameFrom: ReadonlyMap<RunId, readonly FamilyMember[]>;
  /** The runs on the way to the one that was asked for: they are drawn whatever else is left out. */
  line: ReadonlySet<RunId>;
  /** How many of them stand above what is drawn. */
  above: number;
};

function drawingOf({ run, runs, ancestors }: Lineage, options: LineageOptions): Drawing {
  const members = new Map(runs.map((member) => [member.id, member]));
  const cameFrom = new Map<RunId, FamilyMember[]>();
  const roots: FamilyMember[] = [];
  for (const member of runs) {
    const others = member.source === undefined ? roots : (cameFrom.get(member.source) ?? []);
    others.push(member);
    if (member.source !== undefined) cameFrom.set(member.source, others);
  }
  const line = [run, ...ancestors];
  const known = { ...options, run, cameFrom, line: new Set(line) };
  // Each branching is a column to the right: where there are too many, the tree begins below the first ones.
  let branchings = 0;
  for (const [i, id] of line.entries()) {
    if ((cameFrom.get(id)?.length ?? 0) > 1) branchings += 1;
    const top = branchings < depthMax || i === line.length - 1 ? undefined : members.get(id);
    if (top !== undefined) return { ...known, roots: [top], above: line.length - 1 - i };
  }
  return { ...known, roots, above: 0 };
}

/** A run, those that follow it as only ones, and what branches off from the last of them. */
function branchOf(first: FamilyMember, depth: number, drawing: Drawing): TreeNode {
  const chain = [first];
  let last = first;
  let next = drawing.cameFrom.get(first.id) ?? [];
  while (next.length === 1) {
    last = next[0] as FamilyMember;
    chain.push(last);
    next = drawing.cameFrom.get(last.id) ?? [];
  }
  const children = childrenOf(next, depth, last, drawing);
  const nodes = chain.map((member) => nodeOf(member, drawing));
  const end = nodes.at(-1);
  if (end !== undefined && children.length > 0) end.children = children;
  const [head, ...rest] = shortened(nodes, chain, drawing);
  return { ...(head as TreeNode), ...(rest.length === 0 ? {} : { chain: rest }) };
}

function childrenOf(
  members: readonly FamilyMember[],
  depth: number,
  source: FamilyMember | undefined,
  drawing: Drawing,
): TreeNode[] {
  if (members.length === 0) return [];
  const { line, all } = drawing;
  const deep = depth > depthMax;
  const drawn = members.filter(({ id }, i) => line.has(id) || (!deep && (all || i < besideMax)));
  const nodes = drawn.map((member) => branchOf(member, depth + 1, drawing));
  const left = members.length - drawn.length;
  if (left === 0) return nodes;
  const how = deep && source !== undefined ? `stemma lineage ${source.id}` : "--all";
  return [...nodes, moreNode(`… ${left} more (${how} shows them)`)];
}

/** Of a long line of descent the beginning, the end, and what is around the run that was asked for. */
function shortened(nodes: readonly TreeNode[], chain: readonly FamilyMember[], { run, all }: Drawing): TreeNode[] {
  if (all || nodes.length <= behindMax) return [...nodes];
  const asked = chain.findIndex(({ id }) => id === run);
  const near = behindMax / 3;
  const kept: TreeNode[] = [];
  let left = 0;
  for (const [i, node] of nodes.entries()) {
    const shown = i < near || i >= nodes.length - near || (asked >= 0 && Math.abs(i - asked) <= near / 2);
    if (!shown) left += 1;
    if (shown && left > 0) kept.push(moreNode(`… ${left} more, each from the one before (--all shows them)`));
    if (!shown) continue;
    left = 0;
    kept.push(node);
  }
  return kept;
}

function moreNode(text: string): TreeNode {
  return { line: { name: { text, style: "dim" }, loose: true } };
}

type Node = { -readonly [K in keyof TreeNode]: TreeNode[K] };

function nodeOf(member: FamilyMember, { now, run }: Drawing): Node {
  const { id, status, startedAt, endedAt, reason, by, overrides = [] } = member;
  const { glyph, style } = lookOf(status);
  const below = [
    ...(reason === undefined && by === undefined ? [] : [whyText(reason, by)]),
    ...(overrides.length === 0 ? [] : [`output given: ${shorten(overrides.join(", "), reasonCharsMax)}`]),
  ];
  return {
    line: {
      mark: { text: glyph, style },
      name: id === run ? { text: id, style: "bold" } : { text: id },
      ...(startedAt === undefined || endedAt === undefined ? {} : { time: formatDuration(endedAt - startedAt) }),
      facts: factsOf(member, id === run, now),
    },
    below: below.map((text) => ({ text, style: "italic" })),
  };
}

function whyText(reason: string | undefined, by: string | undefined): string {
  const who = by === undefined ? "" : `${by}: `;
  return `${who}${reason === undefined ? "" : shorten(reason, reasonCharsMax)}`.replace(/: $/, "");
}

function factsOf(member: FamilyMember, asked: boolean, now: number): Cell[] {
  const { status, steps, createdAt, tags } = member;
  const { style } = lookOf(status);
  const facts: Cell[] = [{ text: originText(member) }];
  if (status !== "succeeded") facts.push({ text: wordsOf(status), style });
  if (steps.reused > 0) facts.push({ text: `${steps.reused} reused`, style: "blue" });
  if (steps.succeeded > 0) facts.push({ text: `${steps.succeeded} carried out` });
  if (steps.failed > 0) facts.push({ text: `${steps.failed} failed`, style: "red" });
  facts.push({ text: relativeText(createdAt, now), style: "dim" });
  if (tags.length > 0) facts.push({ text: tags.join(", "), style: "dim" });
  if (asked) facts.push({ text: "← this run", style: "bold" });
  return facts;
}

/** `audit@1`, `restart from draft`, `fork behind classify#2`, `restart that reuses nothing`, `called by scoring`. */
export function originText({ origin, at, from, reuse, workflow, version, source }: FamilyMember): string {
  const gone = "run" in origin && source === undefined ? ` of ${origin.run}, which is not in this store` : "";
  switch (origin.kind) {
    case "new":
    case "schedule":
      return `${workflow}@${version}`;
    case "child":
      return `${workflow}@${version} called by ${at ?? origin.key}${gone}`;
    default: {
      const behind = at === undefined ? "" : ` behind ${at}`;
      const place = from === undefined ? behind : ` from ${from}`;
      return `${origin.kind}${place}${reuse === "none" ? " that reuses nothing" : ""}${gone}`;
    }
  }
}
