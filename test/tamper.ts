/**
 * Changes made to what is stored, past the store: in the SQLite file or the tables of PostgreSQL, as somebody would who
 * wants to change what happened. And one history that has every kind of event in it.
 */
import { DatabaseSync } from "node:sqlite";
import pg from "pg";
import { genesis, seal } from "../src/core/chain.ts";
import type { StoredEvent } from "../src/core/chain.ts";
import type { Causes, Event, EventData, EventType } from "../src/core/event.ts";
import { reduceAll } from "../src/core/reduce.ts";
import { sha256 } from "../src/engine/hash.ts";
import { newRunId } from "../src/engine/id.ts";
import { toValue } from "../src/engine/value.ts";
import type { NewRun, Payload } from "../src/store/store.ts";
import { typeFromFile, typeToFile } from "../src/store/sqlite/event-type.ts";

/** Raw access to the events and payloads of a store. What is not in `StoredEvent` is carried along. */
export type Tables = AsyncDisposable & {
  events(run: string): Promise<StoredEvent[]>;
  /** Puts these in the place of all events of a run. `data` may be bytes that are no text. */
  put(run: string, events: readonly (Omit<StoredEvent, "data"> & { data: string | Uint8Array })[]): Promise<void>;
  payload(digest: string): Promise<string | undefined>;
  putPayload(digest: string, text: string | undefined): Promise<void>;
  /** Runs a statement as it stands. */
  exec(sql: string): Promise<void>;
};

type Raw = Omit<StoredEvent, "data"> & { data: string | Uint8Array };

/** What was last read or written of each run: so what does not change need not be written again. */
class Known {
  readonly #runs = new Map<string, readonly Raw[]>();

  is<E extends readonly Raw[]>(run: string, events: E): E {
    this.#runs.set(run, events);
    return events;
  }

  /** Places of events that go, and events that come: all, where nothing is known. Until it is said, nothing is. */
  change(run: string, after: readonly Raw[]): { gone: readonly number[] | "all"; come: readonly Raw[] } {
    const before = this.#runs.get(run);
    this.#runs.delete(run);
    if (before === undefined) return { gone: "all", come: after };
    const left = new Map(before.map((event) => [event.seq, event]));
    const come = after.filter((event) => {
      const was = left.get(event.seq);
      if (was === undefined || !isSame(was, event)) return true;
      left.delete(event.seq);
      return false;
    });
    return { gone: [...left.keys()], come };
  }

  forget(): void {
    this.#runs.clear();
  }
}

function isSame(a: Raw, b: Raw): boolean {
  return (
    a === b || (a.at === b.at && a.type === b.type && a.causes === b.causes && a.data === b.data && a.hash === b.hash)
  );
}

/** @param place as `newPlace` gives it */
export async function tablesAt(place: string): Promise<Tables> {
  const [url = "", schema] = place.split("#");
  return schema === undefined ? inFile(place) : inDatabase(url, schema);
}

function inFile(path: string): Tables {
  const db = new DatabaseSync(path, { timeout: 5000 });
  db.exec("pragma synchronous = off; pragma foreign_keys = off");
  const one = db.prepare("select n from runs where id = ?");
  const all = db.prepare(
    "select seq, at, type, causes, data, lower(hex(hash)) as hash from events where run = ? order by seq",
  );
  const drop = db.prepare("delete from events where run = ?");
  const dropOne = db.prepare("delete from events where run = ? and seq = ?");
  const known = new Known();
  const insert = db.prepare(
    "insert into events (run, seq, at, type, causes, data, hash) values (?, ?, ?, ?, ?, cast(? as text), unhex(?))",
  );
  const n = (run: string): number => Number(one.get(run)?.["n"]);
  return {
    async events(run) {
      const rows = all.all(n(run)).map((row) => ({ ...row, type: typeFromFile(row["type"] as number) }));
      return known.is(run, rows as unknown as StoredEvent[]);
    },
    async put(run, events) {
      const { gone, come } = known.change(run, events);
      const of = n(run);
      db.exec("begin immediate");
      if (gone === "all") drop.run(of);
      else for (const seq of gone) dropOne.run(of, seq);
      for (const { seq, at, type, causes, data, hash } of come) {
        insert.run(of, seq, at, typeToFile(type), causes, Buffer.from(data as string), hash);
      }
      db.exec("commit");
      known.is(run, events);
    },
    async payload(digest) {
      return db.prepare("select text from payloads where digest = unhex(?)").get(digest)?.["text"] as string;
    },
    async putPayload(digest, text) {
      if (text === undefined) db.prepare("delete from payloads where digest = unhex(?)").run(digest);
      else
        db.prepare(
          "insert into payloads (digest, text) values (unhex(?), ?) on conflict do update set text = excluded.text",
        ).run(digest, text);
    },
    async exec(sql) {
      known.forget();
      db.exec(sql);
    },
    async [Symbol.asyncDispose]() {
      db.close();
    },
  };
}

async function inDatabase(url: string, schema: string): Promise<Tables> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query(`set search_path to ${schema}; set synchronous_commit to off`);
  const known = new Known();
  return {
    async events(run) {
      const found = await client.query(
        "select seq::int, at::float8, type, causes, data, encode(hash, 'hex') as hash from events where run = $1 order by seq",
        [run],
      );
      return known.is(run, found.rows as StoredEvent[]);
    },
    async put(run, events) {
      const { gone, come } = known.change(run, events);
      await client.query("begin");
      if (gone === "all") await client.query("delete from events where run = $1", [run]);
      else if (gone.length > 0)
        await client.query("delete from events where run = $1 and seq = any($2::bigint[])", [run, gone]);
      for (const { seq, at, type, causes, data, hash } of come) {
        await client.query(
          "insert into events (run, seq, at, type, causes, data, hash) values ($1, $2, $3, $4, $5, $6, decode($7, 'hex'))",
          [run, seq, at, type, causes, String(data), hash],
        );
      }
      await client.query("commit");
      known.is(run, events);
    },
    async payload(digest) {
      const found = await client.query("select text from payloads where digest = decode($1, 'hex')", [digest]);
      return (found.rows[0] as { text: string } | undefined)?.text;
    },
    async putPayload(digest, text) {
      await client.query("alter table payload_uses drop constraint if exists payload_uses_digest_fkey");
      if (text === undefined) await client.query("delete from payloads where digest = decode($1, 'hex')", [digest]);
      else
        await client.query(
          "insert into payloads (digest, text) values (decode($1, 'hex'), $2) on conflict (digest) do update set text = excluded.text",
          [digest, text],
        );
    },
    async exec(sql) {
      known.forget();
      await client.query(sql);
    },
    async [Symbol.asyncDispose]() {
      await client.end();
    },
  };
}

const error = {
  name: "RangeError",
  message: "no",
  code: "e",
  data: { a: [1] },
  cause: { name: "Error", message: "deep" },
};

/** Data of one event of each type, in an order in which they can happen; `large` are values that are kept apart. */
function everyEvent(run: string, large: EventData["run.succeeded"]["output"][]): [EventType, object][] {
  const [big = { inline: 1 }, other = { inline: 2 }, third = { inline: 3 }] = large;
  const digest = sha256("x");
  const small = { inline: { text: 'a "quoted" one: {"inline":1}', é: [null, true, -1.5e-7] } };
  return [
    [
      "run.created",
      {
        workflow: "w",
        version: 1,
        input: big,
        context: small,
        origin: { kind: "new" },
        family: run,
        seed: "s",
        tags: ["a"],
      },
    ],
    ["run.started", { worker: "w_1", epoch: 1, fingerprint: digest }],
    ["step.started", { key: "charge", input: digest, given: small, attempt: 1, effect: "once" }],
    ["step.attempt_failed", { key: "charge", attempt: 1, error, retryAt: 5 }],
    ["step.in_doubt", { key: "charge", attempt: 1, error, kept: other }],
    ["step.decided", { key: "charge", decision: "record", output: small, by: "ada", reason: "asked" }],
    ["step.succeeded", { key: "charge", output: other, ms: 5, cost: 0.5, reuse: digest.slice(0, 40) }],
    ["step.failed", { key: "mail", error, kept: small }],
    ["step.cancelled", { key: "slow", reason: "lost race" }],
    ["step.overridden", { key: "given", output: { undefined: true }, by: "bob" }],
    [
      "wait.opened",
      { key: "approval", kind: "approval", prompt: "Publish?", schema: { type: "object" }, default: small },
    ],
    ["wait.refused", { key: "approval", error, message: "m" }],
    ["wait.answered", { key: "approval", value: small, by: "ada" }],
    ["wait.opened", { key: "second", kind: "approval" }],
    ["wait.failed", { key: "second", error }],
    ["wait.opened", { key: "third", kind: "timer", until: 99 }],
    ["wait.expired", { key: "third", value: third }],
    ["wait.opened", { key: "fourth", kind: "signal" }],
    ["wait.withdrawn", { key: "fourth", reason: "lost race" }],
    ["signal.received", { name: "go", payload: third }],
    ["child.started", { key: "call", run: childOf(run) }],
    ["child.ended", { key: "call", run: childOf(run), output: small, status: "succeeded" }],
    ["step.reused", { key: "again", output: { inline: [1] }, from: place(run), origin: place(run), saved: { ms: 3 } }],
    ["scope.closed", { scope: "items", kind: "map" }],
    ["run.set", { tags: ["b", "c"] }],
    ["run.patched", { name: "new code" }],
    ["run.warned", { code: "override.unused", message: "m" }],
    ["checkpoint", { state: small, parent: null, count: 1 }],
    ["run.paused", { by: "ada" }],
    ["run.unpaused", { by: "ada" }],
    ["run.suspended", { reason: "waiting", until: 77 }],
    ["run.started", { worker: "w_2", epoch: 2, fingerprint: digest }],
    ["cancel.requested", { by: "ada", reason: "enough" }],
  ];
}

const ends: [EventType, object][] = [
  ["run.succeeded", { output: { inline: { fine: true } } }],
  ["run.failed", { error, frontier: ["mail"] }],
  ["run.cancelled", { by: "ada", reason: "enough" }],
  ["run.timed_out", { limitMs: 1000 }],
];

const place = (run: string): object => ({ run: childOf(run), key: "k", seq: 2 });
const childOf = (run: string): string => `${run.slice(0, -4)}${run.slice(-4) === "0000" ? "0001" : "0000"}`;

/** Runs that have among them an event of every type, and a run that one of them called; of the time `now`. */
export function everyKindOfRun(now: number): NewRun[] {
  return ends.flatMap(([end, data], i) => {
    const id = newRunId(now + i);
    const large = [0, 1, 2].map((n) => toValue({ text: `${i} ${n} `.repeat(1000) }, "value"));
    const payloads = large.flatMap(({ payload }) => (payload === undefined ? [] : [payload]));
    const list = everyEvent(
      id,
      large.map(({ value }) => value),
    );
    const called = historyOf(
      childOf(id),
      [
        [
          "run.created",
          {
            workflow: "w",
            version: 1,
            input: { inline: i },
            origin: { kind: "child", run: id, key: "call", seq: list.findIndex(([type]) => type === "child.started") },
            family: id,
            seed: "s",
          },
        ],
        ["run.started", { worker: "w_1", epoch: 1, fingerprint: sha256("x") }],
        ["step.succeeded", { key: "k", output: { inline: [1] } }],
        ["run.succeeded", { output: { inline: { text: 'a "quoted" one: {"inline":1}', é: [null, true, -1.5e-7] } } }],
      ],
      [],
    );
    return [historyOf(id, [...list, [end, data]], payloads), called];
  });
}

/** A history with these events, each caused by the one before it. */
export function historyOf(
  id: string,
  list: readonly (readonly [EventType, object])[],
  payloads: readonly Payload[],
): NewRun {
  const events: Event[] = [];
  const stored: StoredEvent[] = [];
  let before = genesis(sha256, id);
  for (const [seq, [type, data]] of list.entries()) {
    const causes: Causes = seq === 0 ? [] : seq % 5 === 4 ? { same: seq - 1 } : [seq - 1];
    const event = { seq, at: 1_700_000_000_000 + seq * 7, type, causes, data };
    const sealed = seal(sha256, before, event);
    before = sealed.hash;
    stored.push(sealed);
    events.push({ ...event, hash: sealed.hash } as unknown as Event);
  }
  return { id, events: stored, payloads, state: reduceAll(events) };
}
