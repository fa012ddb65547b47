/** What the tests of restart and fork have in common: steps that are counted, and what is on record of reuse. */
import type { Event, RunHandle } from "../../src/index.ts";

/** Notes each step that is entered, and fails those that it is told to. */
export class World {
  entered: string[] = [];
  broken: Set<string> = new Set();

  enter<T>(name: string, value: T): T {
    this.entered.push(name);
    if (this.broken.has(name)) throw new Error(`${name} is broken`);
    return value;
  }

  /** What was entered since this was asked last. */
  since(): string[] {
    const entered = this.entered.toSorted();
    this.entered = [];
    return entered;
  }
}

export async function reusedKeys(run: RunHandle): Promise<string[]> {
  const events = await run.history();
  return events.flatMap(({ type, data }) => (type === "step.reused" ? [data.key] : []));
}

export async function reusedOf(
  run: RunHandle,
  key: string,
): Promise<(Event & { type: "step.reused" })["data"] | undefined> {
  const event = (await run.history()).find(({ type, data }) => type === "step.reused" && data.key === key);
  return event?.type === "step.reused" ? event.data : undefined;
}

export async function ended(run: RunHandle): Promise<void> {
  await run.result().catch(() => {});
}
