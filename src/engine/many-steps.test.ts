import { describe, expect, it } from "vitest";
import type { Outcome, StepAsk } from "./body.ts";
import { ManySteps } from "./many-steps.ts";

/** Asks are noted, and outcomes are the number of the ask. */
function asking(): { many: ManySteps; asked: string[][]; turns: (() => void)[] } {
  const asked: string[][] = [[]];
  const turns: (() => void)[] = [];
  const step = ({ name }: StepAsk): Promise<Outcome> => {
    asked.at(-1)?.push(name);
    return name === "bad" ? Promise.reject(new Error("bad")) : Promise.resolve({ ok: true, value: name, seq: 0 });
  };
  const turn = (call: () => void): void =>
    void turns.push(() => {
      asked.push([]);
      call();
    });
  return { many: new ManySteps(step, turn), asked, turns };
}

const named = (name: (index: number) => string) => (index: number) => ({ name: name(index) }) as StepAsk;

async function turnAll(turns: (() => void)[]): Promise<void> {
  for (let quiet = 0; quiet < 5; quiet += 1) {
    await Promise.resolve();
    const next = turns.shift();
    if (next === undefined) continue;
    next();
    quiet = 0;
  }
}

describe("many steps", () => {
  it("are asked for at once while they are few, in the order of the list", async () => {
    const { many, asked } = asking();
    const outcomes = many.ask(
      3,
      named((i) => `${i}`),
    );
    expect(asked).toEqual([["0", "1", "2"]]);
    expect((await outcomes).map((outcome) => (outcome as { value: unknown }).value)).toEqual(["0", "1", "2"]);
  });

  it("make way for others, and all of one list come before the first of the next", async () => {
    const { many, asked, turns } = asking();
    const one = many.ask(
      600,
      named((i) => `a${i}`),
    );
    const two = many.ask(
      2,
      named((i) => `b${i}`),
    );
    await turnAll(turns);
    expect(asked.map((turn) => turn.length)).toEqual([250, 250, 102]);
    expect(asked.flat().slice(-3)).toEqual(["a599", "b0", "b1"]);
    expect((await one).length).toBe(600);
    expect((await two).length).toBe(2);
  });

  it("that cannot be asked for fail the list and hold up no other", async () => {
    const { many, turns } = asking();
    const one = many.ask(
      300,
      named((i) => (i === 10 ? "bad" : "a")),
    );
    const two = many.ask(1, () => {
      throw new Error("no name");
    });
    const three = many.ask(
      1,
      named(() => "c"),
    );
    const ends = Promise.allSettled([one, two, three]);
    await turnAll(turns);
    expect((await ends).map(({ status }) => status)).toEqual(["rejected", "rejected", "fulfilled"]);
  });
});
