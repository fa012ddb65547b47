/** A line to a node is held as long as its answer is out, and no longer, whatever becomes of the answer. */
import { expect, test } from "vitest";
import { AtTheLine } from "../../src/api/agents/at-the-line.ts";
import { Lines } from "../../src/api/agents/lines.ts";
import { checkNode } from "../../src/api/agents/node.ts";
import { Stemma } from "../../src/index.ts";
import { errorOf, fresh, silent } from "../stage.ts";
import { rawNode } from "./raw-node.ts";

test("an answer that cannot be taken ends its line like any other", async () => {
  await using store = fresh();
  await using node = await rawNode({ status: 200 });
  const stemma = new Stemma({ store, workflows: [], log: silent });
  const registration = checkNode({ node: "alpha", url: node.url, functions: [{ name: "one" }] }, "first", Date.now());
  const [called] = registration.functions;
  if (called === undefined) throw new Error("expected a function");
  const lines = new Lines();
  let isReadable = false;
  const result = (output: unknown): unknown => {
    if (isReadable) return output;
    throw new Error("unreadable");
  };
  const line = new AtTheLine({ stemma, lines, log: silent, hooks: [{ result }] });
  const give = (token: string): Promise<unknown> => {
    const parcel = { registration, called, token, input: 1, headers: {}, abort: new AbortController().signal };
    return line.give(parcel, { run: `run_${"0".repeat(26)}`, n: 1, inbox: 0, worked() {} });
  };
  expect((await errorOf(give("one"))).message).toBe("unreadable");
  isReadable = true;
  expect(await give("two")).toMatchObject({ state: "done", output: {} });
  expect(["one", "two"].filter((token) => lines.has(token))).toEqual([]);
});
