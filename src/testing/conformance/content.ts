/** What is kept comes back byte for byte, is kept once, and is never taken for anything but data. */
import assert from "node:assert/strict";
import { sha256 } from "../../engine/hash.ts";
import type { Check } from "./fixture.ts";
import { accept, claim, message, payloadOf, started, succeeded } from "./fixture.ts";
import { listedIds, pageOf, snapshot, wholeFeed, wholeHistory, wholeList } from "./read.ts";

/** Texts that careless layers change: escapes, quotes, line ends, astral characters, normal forms, sizes. */
const awkward: Readonly<Record<string, string>> = {
  nothing: "",
  "lone NUL escapes": "a\u0000b\u0000",
  "quotes and backslashes": `'"\`\\'' \\" \\u0041 %s $1 ? :name @x`,
  "line ends": "\r\n\n\r\u2028\u2029\t\v",
  emoji: "👩‍👩‍👧‍👦 🏴󠁧󠁢󠁥󠁮󠁧󠁿 e\u0301 é \ufeff \uffff",
  "right to left": "\u202eשלום مرحبا",
  "what looks like JSON": '{"__proto__":{"a":1},"n":1e400,"n":-0}',
  "spaces at both ends": "  x  ",
};

const injections = [
  "'; drop table runs; --",
  "' or '1'='1",
  "x', 'y'); delete from events; --",
  '"; drop table "events',
  "%",
  "_",
  "a\\",
  "$1",
  "?",
  "run_*",
  "null",
  "0x00",
];

export function contentGuarantees(check: Check): void {
  check("payloads are found by their digests, and a missing one is left out", async ({ store, created }) => {
    const [a, b, missing] = [payloadOf("a").payload, payloadOf({ b: [1] }).payload, sha256("nobody wrote this")];
    await created({ payloads: [a, b] });
    const texts = await store.payloads([missing, b.digest, a.digest]);
    assert.deepEqual(
      [...texts].sort(),
      [
        [a.digest, a.text],
        [b.digest, b.text],
      ].sort(),
    );
    assert.equal((await store.payloads([])).size, 0);
    assert.equal((await store.payloads([missing])).size, 0);
    assert.equal((await store.payloads([a.digest, a.digest])).size, 1);
  });

  check("many payloads are found at once", async ({ store, held, part }) => {
    const row = await held();
    const payloads = Array.from({ length: 3000 }, (_, i) => payloadOf({ i }).payload);
    await accept(store, row, part(row, [started], { payloads }));
    const texts = await store.payloads(payloads.map(({ digest }) => digest));
    assert.equal(texts.size, payloads.length);
    for (const { digest, text } of payloads) assert.equal(texts.get(digest), text);
  });

  check("payloads are kept once however many events name them", async ({ store, held, part }) => {
    const { payload, value } = payloadOf("x".repeat(5000));
    for (let i = 0; i < 3; i += 1) {
      let row = await held({ input: value, payloads: [payload, payload] });
      row = await accept(store, row, part(row, [started, succeeded("a", value)], { payloads: [payload] }));
      const end = part(row, [{ type: "run.succeeded", data: { output: value } }], { release: { dueAt: null } });
      await accept(store, row, { ...end, payloads: [payload] });
    }
    assert.deepEqual([...(await store.payloads([payload.digest])).values()], [payload.text]);
    const { payloadBytes } = await store.prune({ endedBefore: Number.MAX_SAFE_INTEGER, limit: 10, dryRun: true });
    assert.equal(payloadBytes, payload.text.length);
  });

  check("awkward text passes unchanged, in every place that holds text", async ({ store, held, part, reopen }) => {
    const entries = Object.entries(awkward);
    const payloads = entries.map(([, text]) => payloadOf(text).payload);
    // As an escape, half a surrogate pair is plain ASCII; a database that parses JSON would stumble over it.
    payloads.push({ digest: sha256("half"), text: '"\\ud800"' });
    const row = await held({ payloads });
    const steps = entries.map(([name, text]) => succeeded(name.replaceAll(" ", "-"), { inline: text }));
    const tags = entries.map(([, text]) => text).filter((text) => !text.includes("\u0000"));
    const appended = part(row, [started, ...steps, { type: "run.set", data: { tags } }]);
    await accept(store, row, appended);
    const messages = entries.map(([name, text]) => message(row.id, name, text));
    await store.send([...messages, { ...message(row.id, "half"), body: '"\\ud800"' }]);

    const again = await reopen();
    const { events, inbox, row: now } = await wholeHistory(again, row.id);
    assert.deepEqual(events.slice(1), appended.events);
    assert.deepEqual(now.state, appended.state);
    assert.deepEqual(
      inbox.map(({ body }) => body),
      [...messages.map(({ body }) => body), '"\\ud800"'],
    );
    const { events: feed } = await wholeFeed(again, events.length);
    assert.deepEqual(
      feed.map(({ event }) => event),
      events,
    );
    const texts = await again.payloads(payloads.map(({ digest }) => digest));
    for (const { digest, text } of payloads) assert.equal(texts.get(digest), text);
    for (const tag of tags) assert.deepEqual(await listedIds(again, { tag }), [row.id], JSON.stringify(tag));
  });

  check("2 MiB pass unchanged, in a payload, an event and a message", async ({ store, held, part }) => {
    const large = `${"🧬é'\"\\".repeat(150_000)}${"x".repeat(500_000)}`;
    const { payload, value } = payloadOf(large);
    assert.ok(Buffer.byteLength(payload.text) > 2 * 1024 * 1024 - 100_000, "large enough to be worth the test");
    const row = await held({ input: value, payloads: [payload] });
    const appended = part(row, [started, succeeded("a", { inline: large })]);
    await accept(store, row, appended);
    const sent = message(row.id, "large", large);
    await store.send([sent]);
    const page = await pageOf(store, row.id);
    assert.ok(page.events[2]?.data === appended.events[1]?.data, "the event is as it was");
    assert.ok(page.inbox[0]?.body === sent.body, "the message is as it was");
    assert.ok(
      (await store.payloads([payload.digest])).get(payload.digest) === payload.text,
      "the payload is as it was",
    );
  });

  check("text that looks like a statement is data, wherever a string can stand", async (bench) => {
    const { store, newRun, held, part } = bench;
    await held({ workflow: "bystander", worker: "bystander" });
    for (const [i, text] of injections.entries()) {
      const run = newRun({ workflow: text, queue: text, idempotencyKey: text, tags: [text], input: { inline: text } });
      assert.deepEqual(await store.create([run]), [{ id: run.id, created: true }]);
      assert.deepEqual(await store.create([newRun({ workflow: text, idempotencyKey: text })]), [
        { id: run.id, created: false },
      ]);
      const offers = [{ workflow: text, version: 1, fingerprint: text }];
      const [row] = (await claim(store, text, { offers })).runs;
      assert.deepEqual([row?.id, row?.worker, row?.queue], [run.id, text, text]);
      assert.ok(row);
      await accept(store, row, part(row, [started, succeeded("a", { inline: text })]));
      const sent = { run: run.id, key: text, kind: text, body: JSON.stringify(text) };
      assert.deepEqual(await store.send([sent, sent]), [
        { run: run.id, key: text, accepted: true },
        { run: run.id, key: text, accepted: false, reason: "repeated" },
      ]);
      const { inbox } = await pageOf(store, run.id);
      assert.deepEqual(
        inbox.map(({ key, kind, body }) => [key, kind, body]),
        [[text, text, sent.body]],
      );
      assert.equal((await store.heartbeat({ worker: text, leaseMs: 15_000 })).news.length, 1);
      for (const query of [{ workflow: text }, { tag: text }])
        assert.deepEqual(await listedIds(store, query), [run.id]);
      assert.equal((await wholeFeed(store, 3, { workflow: text })).events[0]?.run, run.id);
      assert.equal((await wholeList(store)).length, i + 2);
    }
  });

  check("an id that is none finds nothing and harms nothing", async ({ store, held }) => {
    await held();
    const before = await snapshot(store);
    for (const text of ["", ...injections]) {
      assert.equal(await store.history(text, { after: -1, limit: 10 }), undefined, JSON.stringify(text));
      assert.deepEqual((await store.list({ ids: [text] })).runs, []);
      assert.deepEqual((await store.list({ family: text })).runs, []);
      assert.deepEqual([...(await store.reusable(text, [sha256(text)])).values()].flat(), []);
      assert.deepEqual((await store.feed({ after: 0, limit: 10, run: text })).events, []);
      assert.deepEqual((await store.feed({ after: 0, limit: 10, family: text })).events, []);
      const [sent] = await store.send([message(text, "k")]);
      assert.deepEqual(sent, { run: text, key: "k", accepted: false, reason: "missing" });
    }
    assert.deepEqual(await snapshot(store), before);
  });
}
