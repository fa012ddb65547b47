import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Ledger, price } from "./ledger.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "stemma-ledger-"));
  file = join(folder, "ledger.db");
});
afterEach(() => rmSync(folder, { recursive: true }));

function sell(ledger: Ledger, key: string, body = "body"): unknown {
  return ledger.sell(ledger.request(key), key, body, () => `answer to ${key}`);
}

test("a key is charged once, and its answer is given again for nothing", () => {
  const ledger = new Ledger(file);
  expect(sell(ledger, "a")).toEqual({ status: 200, answer: "answer to a", repeated: false });
  expect(sell(ledger, "a")).toEqual({ status: 200, answer: "answer to a", repeated: true });
  expect(sell(ledger, "b")).toMatchObject({ repeated: false });
  expect(ledger.figures()).toEqual({
    requests: 3,
    charges: 2,
    charged: 2,
    chargedTwice: 0,
    repeated: 1,
    amount: 2 * price,
    byStatus: { "200": 3 },
    publications: 0,
    publishRequests: 0,
  });
  ledger.close();
});

test("a report is published once under its key, and each request for it is counted", () => {
  const ledger = new Ledger(file);
  const publish = (key: string, title: string): unknown => {
    ledger.publishRequest(key);
    return ledger.publish(key, title);
  };
  expect(ledger.published("a")).toBeUndefined();
  expect(publish("a", "first")).toEqual({ number: 1, title: "first" });
  expect(publish("a", "again")).toEqual({ number: 1, title: "first" });
  expect(publish("b", "other")).toEqual({ number: 2, title: "other" });
  expect(ledger.published("a")).toEqual({ number: 1, title: "first" });
  expect(ledger.figures()).toMatchObject({ publications: 2, publishRequests: 3, requests: 0, charges: 0 });
  ledger.close();
});

test("the books are the same after they were closed and opened again", () => {
  const first = new Ledger(file);
  sell(first, "a");
  const figures = first.figures();
  first.close();
  const second = new Ledger(file);
  expect(second.figures()).toEqual(figures);
  expect(sell(second, "a")).toMatchObject({ repeated: true });
  second.close();
});

test("work that fails is not charged, and leaves the request open", () => {
  const ledger = new Ledger(file);
  const broken = (): string => {
    throw new Error("no answer");
  };
  expect(() => ledger.sell(ledger.request("a"), "a", "body", broken)).toThrow("no answer");
  expect(ledger.figures()).toMatchObject({ requests: 1, charges: 0, byStatus: { open: 1 } });
  expect(sell(ledger, "a")).toMatchObject({ repeated: false });
  ledger.close();
});

test("a key that comes back with another body is refused, and not charged", () => {
  const ledger = new Ledger(file);
  sell(ledger, "a");
  expect(sell(ledger, "a", "another body")).toEqual({ status: 422 });
  expect(ledger.figures()).toMatchObject({ charges: 1, repeated: 0, byStatus: { "200": 1, "422": 1 } });
  ledger.close();
});

test("a request is counted from the moment it comes, also if it never gets an outcome or has no key", () => {
  const ledger = new Ledger(file);
  ledger.request("a");
  ledger.refuse(ledger.request(null), 400);
  expect(ledger.figures()).toMatchObject({ requests: 2, byStatus: { open: 1, "400": 1 } });
  ledger.close();
});

test("only the first request of a key is its first", () => {
  const ledger = new Ledger(file);
  const [first, second, other] = [ledger.request("a"), ledger.request("a"), ledger.request("b")];
  expect([ledger.isFirst(first, "a"), ledger.isFirst(second, "a"), ledger.isFirst(other, "b")]).toEqual([
    true,
    false,
    true,
  ]);
  ledger.close();
});

test("a double charge would be seen: the figure is measured", () => {
  const ledger = new Ledger(file);
  sell(ledger, "a");
  sell(ledger, "b");
  const forger = new DatabaseSync(file);
  forger.exec("insert into charges (key, amount, at) select key, amount, at from charges where key = 'a'");
  forger.close();
  expect(ledger.figures()).toMatchObject({ charges: 3, charged: 2, chargedTwice: 1 });
  ledger.close();
});
