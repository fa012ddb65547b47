import { expect, test } from "vitest";
import { genesis, seal } from "../core/chain.ts";
import type { StoredEvent } from "../core/chain.ts";
import { ChainThread } from "./chain-thread.ts";
import { sha256 } from "./hash.ts";

const before = genesis(sha256, "run_1");

/** So many events, each with a value in it, one behind the other. */
function history(count: number): StoredEvent[] {
  const events: StoredEvent[] = [];
  for (let seq = 0; seq < count; seq += 1) {
    const data = { key: `step${seq}`, output: { inline: { text: `value \n ${seq}` } } };
    const causes = seq === 0 ? [] : [seq - 1];
    events.push(
      seal(sha256, events.at(-1)?.hash ?? before, { seq, at: 1000 + seq, type: "step.succeeded", causes, data }),
    );
  }
  return events;
}

async function hashed(events: readonly StoredEvent[], pageEvents: number): Promise<string | undefined> {
  const thread = ChainThread.start();
  if (thread === undefined) throw new Error("There is no thread.");
  try {
    for (let at = 0; at < events.length; at += pageEvents) await thread.take(before, events.slice(at, at + pageEvents));
    return await thread.end();
  } finally {
    await thread.stop();
  }
}

test("a thread comes to the hash of the last event, however many pages it is given", async () => {
  const events = history(200);
  for (const pageEvents of [1, 7, 200]) expect(await hashed(events, pageEvents)).toBe(events.at(-1)?.hash);
  const behind = events.slice(100);
  const thread = ChainThread.start();
  await thread?.take(events[99]?.hash ?? "", behind);
  expect(await thread?.end()).toBe(events.at(-1)?.hash);
  await thread?.stop();
});

test("it comes to another hash where a text was changed, also to one that no text of an event is", async () => {
  const events = history(20);
  const changes: ((stored: StoredEvent) => Partial<StoredEvent>)[] = [
    ({ data }) => ({ data: data.replace("value", "vALUE") }),
    ({ data }) => ({ data: `${data}\n` }),
    ({ data }) => ({ data: data.replace(",", "\n,") }),
    () => ({ causes: "[3]" }),
    () => ({ type: "step.failed" }),
    ({ at }) => ({ at: at + 1 }),
    () => ({ at: Number.NaN }),
  ];
  for (const change of changes) {
    const altered = events.map((stored) => (stored.seq === 9 ? { ...stored, ...change(stored) } : stored));
    expect(await hashed(altered, 6)).not.toBe(events.at(-1)?.hash);
  }
});

test("there is one at a time, and a thread that was stopped tells nothing and holds nobody up", async () => {
  const first = ChainThread.start();
  expect(ChainThread.start()).toBeUndefined();
  await first?.stop();
  await first?.take(before, history(3));
  expect(await first?.end()).toBeUndefined();
  const next = ChainThread.start();
  expect(next).toBeDefined();
  await next?.stop();
});
