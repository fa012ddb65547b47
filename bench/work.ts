/**
 * The work that everything here is measured with: steps one after another, each of which does nothing and returns about
 * 200 bytes. What is left of the time is the engine and the store.
 */
import { Stemma, workflow } from "../src/index.ts";
import type { StemmaOptions, Workflow } from "../src/index.ts";
import { expectDurableAt, storeAt } from "./place.ts";
import type { Place } from "./place.ts";

export type WorkInput = { steps: number };

/** How many steps the short workflow has. */
export const shortSteps = 10;

/** Called in the function of each step, before it returns; for those who want to know when one is entered. */
export type Entered = (step: number) => void | Promise<void>;

let entered: Entered | undefined;

/** Has somebody told of each step that is entered. */
export function whenEntered(call: Entered): void {
  entered = call;
}

const padding = "y".repeat(170);

/** 200 bytes of JSON, give or take the digits of the number. */
function output(step: number): { step: number; text: string } {
  return { step, text: padding };
}

export const work: Workflow<WorkInput, number> = workflow({ name: "work" }, async (ctx, { steps }: WorkInput) => {
  for (let i = 0; i < steps; i++) {
    await ctx.step("work", () => {
      const told = entered?.(i);
      return told === undefined ? output(i) : told.then(() => output(i));
    });
  }
  return steps;
});

export type Engine = AsyncDisposable & {
  readonly stemma: Stemma;
  start(): Promise<unknown>;
  /** Throws unless what it committed survives a power cut. */
  expectDurable(): Promise<void>;
};

/** A working Stemma on a file or a schema; `await using` stops it and closes the store. */
export async function open(place: Place, options: Partial<StemmaOptions> = {}): Promise<Engine> {
  const store = storeAt(place);
  const stemma = new Stemma({ workflows: [work], ...options, store });
  return {
    stemma,
    start: () => stemma.start(),
    expectDurable: () => expectDurableAt(place),
    async [Symbol.asyncDispose]() {
      await stemma.stop();
      await store.close();
    },
  };
}

/** Runs the short workflow `total` times, `concurrency` at a time, each from its start to its result. */
export async function drive(stemma: Stemma, total: number, concurrency: number): Promise<void> {
  let begun = 0;
  const one = async (): Promise<void> => {
    while (begun < total) {
      begun += 1;
      const run = await stemma.run(work, { steps: shortSteps });
      await run.result();
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, total) }, one));
}
