/** The definition of a graph as a picture: Mermaid and DOT. */
import type { GraphDefinition } from "./definition.ts";
import { prototypeOf } from "./definition.ts";
import type { EdgeGroup } from "./edges.ts";

type Line = { from: string; to: string; label?: string; dashed: boolean };
type Picture = {
  nodes: { id: string; text: string; shape: "start" | "plain" | "join" | "fanIn" }[];
  lines: Line[];
  inner: { id: string; picture: Picture }[];
};

/**
 * @example
 * console.log(toMermaid(graph)); // flowchart TD …
 */
export function toMermaid({ graph }: { graph: GraphDefinition }): string {
  return ["flowchart TD", ...mermaid(pictureOf(graph, ""), "  ")].join("\n");
}

/** For Graphviz. */
export function toDot({ graph }: { graph: GraphDefinition }): string {
  return [`digraph ${JSON.stringify(graph.name)} {`, ...dot(pictureOf(graph, ""), "  "), "}"].join("\n");
}

/** @param path of the executor that holds this graph: ids are told apart by it */
function pictureOf(graph: GraphDefinition, path: string): Picture {
  const id = (name: string): string => `${path}${name}`;
  const executors = [...graph.nodes.keys()];
  const fanIns = graph.groups.filter((group) => group.kind === "fanIn");
  return {
    nodes: [
      ...executors.map((name) => ({
        id: id(name),
        text: name === graph.start ? `${name} (start)` : name,
        shape:
          name === graph.start
            ? ("start" as const)
            : graph.joins.includes(name)
              ? ("join" as const)
              : ("plain" as const),
      })),
      ...fanIns.map((group) => ({ id: id(group.id), text: "fan-in", shape: "fanIn" as const })),
    ],
    lines: graph.groups.flatMap(linesOf).map((line) => ({ ...line, from: id(line.from), to: id(line.to) })),
    inner: executors.flatMap((name) => {
      const executor = prototypeOf(graph, name);
      if (!("graph" in executor)) return [];
      return [{ id: id(name), picture: pictureOf(executor.graph as GraphDefinition, `${id(name)}/`) }];
    }),
  };
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
      ({ id, text, shape }) => `${indent}${mermaidId(id)}${shapes[shape][0]}"${escaped(text)}"${shapes[shape][1]}`,
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
    ...nodes.map(({ id, text, shape }) => `${indent}${quoted(id)} [label=${quoted(text)}, shape=${dotShapes[shape]}];`),
    ...lines.map(({ from, to, label, dashed }) => {
      const looks = [...(label === undefined ? [] : [`label=${quoted(label)}`]), ...(dashed ? ["style=dashed"] : [])];
      return `${indent}${quoted(from)} -> ${quoted(to)}${looks.length === 0 ? "" : ` [${looks.join(", ")}]`};`;
    }),
    ...inner.flatMap(({ id, picture }) => [
      `${indent}subgraph ${quoted(`cluster_${id}`)} {`,
      `${indent}  label=${quoted(id)};`,
      ...dot(picture, `${indent}  `),
      `${indent}}`,
    ]),
  ];
}
