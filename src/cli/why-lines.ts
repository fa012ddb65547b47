/** Where a value comes from, as a tree of lines: each place once, with what it comes from below it. */
import type { Why, WhyNode } from "../engine/why.ts";
import { formatDuration } from "../core/duration.ts";
import type { Cell } from "./table.ts";
import { jsonText, shorten } from "./terminal.ts";
import type { TreeNode } from "./tree.ts";
import { drawTree } from "./tree.ts";

const branchingsMax = 12;
const placesMax = 500;
const valueCharsMax = 60;
const reasonCharsMax = 200;

/** The lines of `stemma why`. */
export function whyLines(why: Why, { width, now }: { width: number; now: number }): string[] {
  const drawing: Drawing = { nodes: new Map(why.nodes.map((node) => [node.id, node])), drawn: new Set(), why, now };
  const [first] = why.nodes;
  const lines = first === undefined ? [] : drawTree([branch(first, 0, drawing)], width);
  if (why.path !== undefined && !why.narrowed)
    lines.push("The value at the path is found in none of them: these are all that may have led to it.");
  if (why.more === true) lines.push("There is more; it was not looked at.");
  return lines;
}

type Drawing = { nodes: ReadonlyMap<string, WhyNode>; drawn: Set<string>; why: Why; now: number };

/** A place and what it comes from: one thing goes on in the same column, several branch off. */
function branch(first: WhyNode, depth: number, drawing: Drawing): TreeNode {
  const chain: WhyNode[] = [];
  let last = first;
  drawing.drawn.add(first.id);
  for (let [next] = only(last, drawing); next !== undefined; [next] = only(last, drawing)) {
    if (drawing.drawn.has(next.id) || drawing.drawn.size > placesMax) break;
    drawing.drawn.add(next.id);
    chain.push(next);
    last = next;
  }
  const below = childrenOf(last, depth, drawing);
  const lines = chain.map((node, i) => ({
    line: lineOf(node, drawing),
    ...(i === chain.length - 1 && below.length > 0 ? { children: below } : {}),
  }));
  return {
    line: lineOf(first, drawing),
    ...(chain.length === 0 ? (below.length === 0 ? {} : { children: below }) : { chain: lines }),
  };
}

/** The one place that it comes from, where it is one. */
function only(node: WhyNode, drawing: Drawing): WhyNode[] {
  const [from, ...others] = node.from;
  const next = from === undefined || others.length > 0 ? undefined : drawing.nodes.get(from.id);
  return next === undefined ? [] : [next];
}

function childrenOf(node: WhyNode, depth: number, drawing: Drawing): TreeNode[] {
  const children: TreeNode[] = [];
  let left = 0;
  for (const { id } of node.from) {
    const next = drawing.nodes.get(id);
    if (next === undefined) continue;
    if (drawing.drawn.has(id)) children.push({ line: { name: { text: `${nameOf(next)}, as above`, style: "dim" } } });
    else if (depth >= branchingsMax || drawing.drawn.size > placesMax) left += 1;
    else children.push(branch(next, depth + 1, drawing));
  }
  if (left > 0) children.push({ line: { name: { text: `… ${left} more`, style: "dim" }, loose: true } });
  return children;
}

const marks: Readonly<Record<WhyNode["how"], Cell>> = {
  ran: { text: "✓", style: "green" },
  reused: { text: "↺", style: "cyan" },
  given: { text: "✎", style: "yellow" },
  decided: { text: "◆", style: "blue" },
  answered: { text: "✓", style: "green" },
  called: { text: "✓", style: "green" },
  waited: { text: "✓", style: "dim" },
  input: { text: "▸", style: "dim" },
  output: { text: "■", style: "green" },
};

function lineOf(node: WhyNode, { why, now }: Drawing): TreeNode["line"] {
  const facts: Cell[] = [{ text: node.how, style: "dim" }];
  if (node.run !== why.run) facts.push({ text: node.run, style: "dim" });
  if (node.holds !== undefined && node.holds !== "$") facts.push({ text: `at ${node.holds}`, style: "cyan" });
  if (node.by !== undefined) facts.push({ text: `by ${node.by}` });
  if (node.reason !== undefined) facts.push({ text: `“${shorten(node.reason, reasonCharsMax)}”` });
  const value = node.value !== undefined && "inline" in node.value ? jsonText(node.value.inline) : undefined;
  return {
    mark: node.status === "failed" ? { text: "✖", style: "red" } : marks[node.how],
    name: { text: nameOf(node) },
    time: `${formatDuration(Math.max(0, now - node.at))} ago`,
    facts,
    ...(value === undefined ? {} : { extra: shorten(value, valueCharsMax) }),
  };
}

function nameOf({ key, how, seq }: WhyNode): string {
  return key ?? (seq === 0 ? "input of the run" : how === "output" ? "output of the run" : `event ${seq}`);
}
