/** A graph as a picture, by itself or with what became of it in a run: Mermaid and DOT. */
import type { Kind } from "../../core/trace-look.ts";
import { colours } from "../../core/trace-look.ts";
import type { GraphDefinition } from "./definition.ts";
import { prototypeOf } from "./definition.ts";
import type { EdgeGroup } from "./edges.ts";
import type { DrawnRun, Standing, Standings } from "./standing.ts";
import { standingsOf } from "./standing.ts";

type Line = { from: string; to: string; label?: string; dashed: boolean };
type Picture = {
  /** `texts`: lines. With a kind where a run is drawn. */
  nodes: { id: string; texts: string[]; shape: "start" | "plain" | "join" | "fanIn"; kind?: Kind }[];
  lines: Line[];
  inner: { id: string; picture: Picture }[];
};

/**
 * A Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html).
 *
 * @param run says at each executor how often it ran, what failed and where the run waits, in colours: the trace of a
 * durable run (of its family, for graphs inside), or what came of one in memory
 * @example
 * console.log(toMermaid(graph)); // flowchart TD …
 * console.log(toMermaid(graph, await graph.run("hello")));
 * console.log(toMermaid(graph, await stemma.trace(run.id)));
 */
export function toMermaid({ graph }: { graph: GraphDefinition }, run?: DrawnRun): string {
  const standings = run && standingsOf(graph, run);
  const paints = Object.entries(standings === undefined ? {} : colours).map(
    ([kind, { fill, line, ink }]) => `  classDef ${kind} fill:${fill},stroke:${line},color:${ink}`,
  );
  return ["flowchart TD", ...mermaid(pictureOf(graph, "", standings), "  "), ...paints].join("\n");
}

/** The same for Graphviz, in the DOT language (https://graphviz.org/doc/info/lang.html). */
export function toDot({ graph }: { graph: GraphDefinition }, run?: DrawnRun): string {
  const picture = pictureOf(graph, "", run && standingsOf(graph, run));
  return [`digraph ${JSON.stringify(graph.name)} {`, ...dot(picture, "  "), "}"].join("\n");
}

/** @param path of the executor that holds this graph: ids are told apart by it */
function pictureOf(graph: GraphDefinition, path: string, standings: Standings | undefined): Picture {
  const id = (name: string): string => `${path}${name}`;
  const executors = [...graph.nodes.keys()];
  // Short ids, which none of the names has: in those is no `|`.
  const groups = graph.groups.map((group, n) => (group.kind === "fanIn" ? { ...group, id: `fan-in|${n}` } : group));
  const fanIns = groups.filter((group) => group.kind === "fanIn");
  return {
    nodes: [
      ...executors.map((name) => ({
        id: id(name),
        ...looks(name === graph.start ? `${name} (start)` : name, standings, id(name)),
        shape:
          name === graph.start
            ? ("start" as const)
            : graph.joins.includes(name)
              ? ("join" as const)
              : ("plain" as const),
      })),
      ...fanIns.map((group) => ({ id: id(group.id), texts: ["fan-in"], shape: "fanIn" as const })),
    ],
    lines: groups.flatMap(linesOf).map((line) => ({ ...line, from: id(line.from), to: id(line.to) })),
    inner: executors.flatMap((name) => {
      const executor = prototypeOf(graph, name);
      if (!("graph" in executor)) return [];
      return [{ id: id(name), picture: pictureOf(executor.graph as GraphDefinition, `${id(name)}/`, standings) }];
    }),
  };
}

/** The lines of a node, and what they mean as a colour. */
function looks(name: string, standings: Standings | undefined, path: string): { texts: string[]; kind?: Kind } {
  if (standings === undefined) return { texts: [name] };
  const standing = standings.get(path);
  const said = standing === undefined ? [] : saying(standing);
  if (standing === undefined || said.length === 0) return { texts: [name], kind: "other" };
  const { failed, waiting, running, ran } = standing;
  const kind = failed > 0 ? "bad" : waiting + running > 0 ? "open" : ran > 0 ? "good" : "reused";
  return { texts: [name, said.join(", ")], kind };
}

function saying({ ran, reused, failed, running, waiting }: Standing): string[] {
  const times = (count: number): string => (count === 1 ? "once" : `${count} times`);
  return [
    ...(ran > 0 ? [`ran ${times(ran)}`] : []),
    ...(reused > 0 ? [`reused ${times(reused)}`] : []),
    ...(failed > 0 ? [`failed ${times(failed)}`] : []),
    ...(running > 0 ? ["at work"] : []),
    ...(waiting > 0 ? [waiting === 1 ? "waits" : `waits for ${waiting} answers`] : []),
  ];
}

function linesOf(group: EdgeGroup): Line[] {
  const { kind } = group;
  switch (kind) {
    case "single": {
      const line = { from: group.source, to: group.target, dashed: group.when !== undefined };
      return [line.dashed ? { ...line, label: "conditional" } : line];
    }
    case "fanOut":
      return group.targets.map((to) => ({ from: group.source, to, dashed: false }));
    case "select":
      return group.targets.map((to) => ({ from: group.source, to, label: "selected", dashed: true }));
    case "switch":
      return [
        ...group.cases.map(({ target }, n) => ({
          from: group.source,
          to: target,
          label: `case ${n + 1}`,
          dashed: true,
        })),
        { from: group.source, to: group.otherwise, label: "default", dashed: true },
      ];
    case "routes":
      return group.edges.map((edge) => {
        const label = [edge.route, edge.onFailure ? "failure" : undefined, edge.otherwise ? "default" : undefined];
        const text = label.filter((part) => part !== undefined).join(", ") || `priority ${edge.priority}`;
        return { from: group.source, to: edge.target, label: text, dashed: true };
      });
    case "fanIn":
      return [
        ...group.sources.map((from) => ({ from, to: group.id, dashed: false })),
        { from: group.id, to: group.target, dashed: false },
      ];
  }
}

const shapes = { start: ["([", "])"], plain: ["[", "]"], join: ["{{", "}}"], fanIn: ["((", "))"] } as const;

function mermaid({ nodes, lines, inner }: Picture, indent: string): string[] {
  return [
    ...nodes.map(
      ({ id, texts, shape, kind }) =>
        `${indent}${mermaidId(id)}${shapes[shape][0]}"${texts.map(escaped).join("<br/>")}"${shapes[shape][1]}${kind === undefined ? "" : `:::${kind}`}`,
    ),
    ...lines.map(({ from, to, label, dashed }) => {
      const arrow =
        label === undefined
          ? dashed
            ? "-.->"
            : "-->"
          : dashed
            ? `-. ${escaped(label)} .->`
            : `-- ${escaped(label)} -->`;
      return `${indent}${mermaidId(from)} ${arrow} ${mermaidId(to)}`;
    }),
    ...inner.flatMap(({ id, picture }) => [
      `${indent}subgraph ${mermaidId(`${id}/`)} ["${escaped(id)}"]`,
      ...mermaid(picture, `${indent}  `),
      `${indent}end`,
    ]),
  ];
}

/** Letters and digits as they are and anything else by its code, so that two ids never become one. */
function mermaidId(id: string): string {
  return `n_${id.replace(/[^a-z0-9]/giu, (character) => `_${character.codePointAt(0)?.toString(16)}_`)}`;
}

function escaped(text: string): string {
  return text.replace(/["<>&#|]/gu, (character) => `#${character.codePointAt(0)};`);
}

const dotShapes = { start: "oval", plain: "box", join: "hexagon", fanIn: "circle" } as const;

function dot({ nodes, lines, inner }: Picture, indent: string): string[] {
  const quoted = JSON.stringify;
  return [
    ...nodes.map(
      ({ id, texts, shape, kind }) =>
        `${indent}${quoted(id)} [label=${quoted(texts.join("\n"))}, shape=${dotShapes[shape]}${paintOf(kind)}];`,
    ),
    ...lines.map(({ from, to, label, dashed }) => {
      const marks = [...(label === undefined ? [] : [`label=${quoted(label)}`]), ...(dashed ? ["style=dashed"] : [])];
      return `${indent}${quoted(from)} -> ${quoted(to)}${marks.length === 0 ? "" : ` [${marks.join(", ")}]`};`;
    }),
    ...inner.flatMap(({ id, picture }) => [
      `${indent}subgraph ${quoted(`cluster_${id}`)} {`,
      `${indent}  label=${quoted(id)};`,
      ...dot(picture, `${indent}  `),
      `${indent}}`,
    ]),
  ];
}

function paintOf(kind: Kind | undefined): string {
  if (kind === undefined) return "";
  const { fill, line, ink } = colours[kind];
  return `, style=filled, fillcolor="${fill}", color="${line}", fontcolor="${ink}"`;
}
