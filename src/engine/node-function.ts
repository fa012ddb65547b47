/**
 * Functions of remote nodes, as workflows: a call of one is a called run of the workflow named `node.function`, carried
 * out by whoever knows where the node is. Whoever calls needs its name and nothing else.
 */
import { StemmaError } from "../core/error.ts";
import { checkName } from "../core/name.ts";
import type { Workflow } from "./body.ts";

/** `node.function`: which function of which node, with exactly one dot. */
export type FunctionName = `${string}.${string}`;

/**
 * What stands for the code of all functions of nodes: nobody here has it. So a success of one is reused whatever version
 * of its node made it; who wants it anew says so (`from`, `reuse: "none"`).
 */
export const nodeFunctionSource = "function of a node";

/** The parts of a name. Throws usage.invalid, name.invalid. */
export function partsOfFunction(name: unknown): { node: string; function: string } {
  const parts = typeof name === "string" ? name.split(".") : [];
  const [node = "", called = ""] = parts;
  if (parts.length === 2 && node !== "" && called !== "") {
    checkName(name, "name of a function of a node");
    return { node, function: called };
  }
  const got = typeof name === "string" ? JSON.stringify(name.slice(0, 200)) : name === null ? "null" : typeof name;
  throw new StemmaError(
    "usage.invalid",
    `Expected a workflow, or the name of a function of a node such as "writer.summarise" (one dot), got ${got}.`,
  );
}

/** Whether runs of a workflow of this name are calls of functions of nodes. */
export function isFunctionName(name: string): boolean {
  const [node = "", called = "", ...more] = name.split(".");
  return node !== "" && called !== "" && more.length === 0;
}

/** A function of a node, for calling it. Throws usage.invalid, name.invalid. */
export function nodeFunction(name: unknown): Workflow {
  const { node, function: called } = partsOfFunction(name);
  return {
    name: `${node}.${called}`,
    version: 1,
    source: nodeFunctionSource,
    body() {
      throw new StemmaError("engine.bug", `${node}.${called} is a function of a node; its body is not here.`);
    },
  };
}
