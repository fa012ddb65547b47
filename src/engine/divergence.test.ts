import { describe, expect, test } from "vitest";

import type { Event } from "../core/event.ts";
import { encode } from "../core/json.ts";
import type { Ask } from "./ask.ts";
import { Asks } from "./ask.ts";
import { describeDivergence } from "./divergence.ts";
import type { Loaded } from "./load.ts";
import { Recall } from "./recall.ts";
import { digestOf, toValue } from "./value.ts";

type Declared = { key: string; input?: unknown };
type Known = Pick<Loaded, "recall" | "eventAt">;

/** What is on record when these steps have succeeded, some with a declared input. */
function recorded(...steps: readonly Declared[]): Known {
  const events = steps.map((step, i): Event => {
    const encoded = "input" in step ? toValue(step.input, "input") : undefined;
    const ref = encoded === undefined ? {} : { input: digestOf(encoded), given: encoded.value };
    const data = { key: step.key, ...ref, output: { inline: null } };
    return { seq: i + 1, at: i, type: "step.succeeded", causes: [0], data, hash: "" };
  });
  const recall = new Recall(1, steps.length);
  for (const event of events) recall.add(event);
  return { recall: recall.complete(), eventAt: async (seq) => events.find((event) => event.seq === seq) };
}

/** What the body asks for; what is on record is marked as asked, the rest is held back. */
function held({ recall }: Known, ...steps: readonly Declared[]): Ask[] {
  const asks = new Asks(recall);
  return steps.flatMap((step) => {
    const place = { scope: "", name: step.key, causes: [0] };
    const input = "input" in step ? toValue(step.input, "input") : undefined;
    const work: Ask["work"] = { kind: "step", ask: { ...place, run: () => undefined } };
    const ask = asks.make(place, input, 0, work, () => undefined);
    return ask.recorded === undefined ? [ask] : [];
  });
}

type Description = {
  recorded: string[];
  recordedCount: number;
  asked: string[];
  ended: boolean;
  differences: unknown[];
};
const describeOf = async (known: Known, ...steps: readonly Declared[]): Promise<Description> =>
  (await describeDivergence(known, held(known, ...steps), false)) as unknown as Description;

describe("a divergence says", () => {
  test("what was recorded and not asked for, what was asked for instead, and what can be done", async () => {
    const known = recorded({ key: "load" }, { key: "charge" }, { key: "mail" });
    expect(await describeDivergence(known, held(known, { key: "load" }, { key: "pay" }), true)).toEqual({
      recorded: ["charge", "mail"],
      recordedCount: 2,
      asked: ["pay"],
      ended: true,
      differences: [],
      remedies: ["run the code that recorded this", "fork this run here", "restart this run"],
    });
  });

  test.each([
    [{ order: 17, to: ["a", "b"] }, { order: 17, to: ["a", "c"] }, "$.to[1]"],
    [{ order: 17 }, { order: 17, currency: "EUR" }, "$.currency"],
    [1, "1", "$"],
    [undefined, null, "$"],
    [null, undefined, "$"],
  ])("where a declared input differs: %j and %j", async (was, is, path) => {
    const known = recorded({ key: "charge", input: was });
    expect((await describeOf(known, { key: "charge", input: is })).differences).toEqual([{ key: "charge", path }]);
  });

  test("that an input is declared now, or is not any more", async () => {
    expect((await describeOf(recorded({ key: "x" }), { key: "x", input: 1 })).differences).toEqual([
      { key: "x", path: "$", why: "input now declared" },
    ]);
    expect((await describeOf(recorded({ key: "x", input: 1 }), { key: "x" })).differences).toEqual([
      { key: "x", path: "$", why: "input no longer declared" },
    ]);
  });

  test("that an input differs, where the recorded one is too large to stand in its event", async () => {
    const known = recorded({ key: "x", input: "y".repeat(5000) });
    expect((await describeOf(known, { key: "x", input: 1 })).differences).toEqual([{ key: "x", path: "$" }]);
  });

  test("no more than people can read, and how much there is", async () => {
    const many = Array.from({ length: 1000 }, (_, i) => ({ key: `step ${i}`, input: i }));
    const known = recorded(...many);
    const description = await describeOf(known, ...many.map(({ key, input }) => ({ key, input: -1 - input })));
    expect(description).toMatchObject({ recordedCount: 1000 });
    expect([description.recorded, description.asked, description.differences].map((list) => list.length)).toEqual([
      20, 20, 20,
    ]);
    expect(encode(description)?.length).toBeLessThan(5000);
  });
});
