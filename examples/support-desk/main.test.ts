import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { amountOf, classify, readTickets } from "./tickets.ts";

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

test("the tickets of the file are read whole, and sorted by their own words", () => {
  const text = readFileSync(here("tickets.txt"), "utf8");
  const tickets = readTickets(text);
  expect(tickets).toHaveLength(text.match(/^From: /gmu)?.length ?? 0);
  expect(tickets.map(classify)).toEqual([
    "refund",
    "question",
    "spam",
    "refund",
    "question",
    "question",
    "outage",
    "refund",
    "thanks",
    "spam",
  ]);
  expect(tickets.map((ticket) => amountOf(ticket.text)).filter((amount) => amount > 0)).toEqual([4900, 106_800, 4800]);
  expect(() => readTickets("From: nobody\n")).toThrow("Expected mail 1 to have a sender and a subject");
});

test("a desk whose process was killed goes on in another one, asks a person, and is forked with another answer", () => {
  const out = execFileSync(process.execPath, [here("main.ts")], { encoding: "utf8" });
  // One reading and ten sortings; nothing of the superstep behind them.
  expect(out).toContain("ended by SIGKILL; 11 invocations are on record");
  expect(out).toContain("This process went on: refund 3, answer 4, on call 1, send 7. It asks: Refund 1068.00");
  expect(out).toContain("refund<br/>ran 3 times, waits");
  expect(out).toContain("8 replies, 2 tickets are spam");
  expect(out).toMatch(/\$\[0\]\.replies\[2\]\.text\n.*we have refunded 1068\.00\."\n.*we cannot refund 1068\.00/u);
  expect(out).toContain("0 steps are the same, 4 changed");
  expect(out).toContain(`send<br/>ran once"]`);
  expect(out).toContain("8 letters were sent before the fork, 1 by it");
  expect(out).toMatch(/Its trace: \d+ nodes, \d+ edges, 1 component/u);
  const [, kept = ""] = /Store and letters: (.+)/u.exec(out) ?? [];
  const sent = readFileSync(join(kept, "outbox.jsonl"), "utf8").trim().split("\n");
  expect(new Set(sent).size, "no letter is sent twice").toBe(sent.length);
  rmSync(kept, { recursive: true });
});
