/** Proof, provenance, golden runs, files of families and pruning over HTTP: what is asked of a server is what the store says. */
import { createReadStream, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { client } from "../../src/client.ts";
import { workflow } from "../../src/index.ts";
import { answered, typed, workshop } from "../command-line.ts";
import { errorOf, fresh, silent, until } from "../stage.ts";
import { server } from "../../src/server.ts";
import type { Served } from "./place.ts";
import { serve } from "./place.ts";

const folder = mkdtempSync(join(tmpdir(), "stemma-records-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const part = workflow({ name: "part" }, (ctx, n: number) => ctx.step("big", { input: n }, () => `${n}`.repeat(50_000)));
const whole = workflow({ name: "whole" }, async (ctx, n: number) => {
  const found = await ctx.step("find", { input: n }, () => ({ items: ["first one", `second ${n}`] }));
  await ctx.call(part, n);
  return ctx.step("show", { input: found }, ({ items }) => `it is ${items[1]}`);
});
const later = (): Date => new Date(Date.now() + 3_600_000);

async function family(at: Served): Promise<[string, string]> {
  const run = await at.stemma.run(whole, 1);
  await run.result();
  const fork = await at.stemma.fork(run.id, { input: 2 });
  await fork.result();
  return [run.id, fork.id];
}

async function fileOf(texts: AsyncIterable<string>): Promise<string> {
  const all: string[] = [];
  for await (const text of texts) all.push(text);
  return all.join("");
}

describe("a client", () => {
  it("is told of proof and provenance what the store says", async () => {
    await using at = await serve([part, whole]);
    const [run, fork] = await family(at);
    expect(await at.client.verify()).toEqual(await at.stemma.verify());
    expect(await at.client.verify(run, { family: true })).toEqual(await at.stemma.verify(run, { family: true }));
    const { head } = await at.client.verify(run);
    if (head === undefined) throw new Error("expected the head of one run");
    expect(await at.client.verify(run, { expect: head })).toMatchObject({ ok: true });
    const wrong = { seq: head.seq, hash: "0".repeat(64) };
    expect(await at.client.verify(run, { expect: wrong })).toMatchObject({ ok: false });
    expect(await at.client.why(fork, "show", { path: "$" })).toEqual(await at.stemma.why(fork, "show", { path: "$" }));
    expect(await at.client.why(fork)).toEqual(await at.stemma.why(fork));
    expect(await at.client.prov(run, { family: true })).toEqual(await at.stemma.prov(run, { family: true }));
    expect(await errorOf(at.client.why(run, "nothing"))).toMatchObject({ code: "step.not_found" });
    const half = await fetch(`${at.url}/v1/runs/${run}/verify?seq=1`);
    expect(await half.json()).toMatchObject({ status: 400, code: "usage.invalid" });
  });

  it("marks golden runs, with who asked for it on record, and un-marks them", async () => {
    const token = "0123456789abcdef-runner";
    const tokens = [{ name: "ci", scope: "run" as const, token }];
    await using at = await serve([part, whole], { tokens, client: { token } });
    const [run, fork] = await family(at);
    const mark = await at.client.golden(run, { tags: ["smoke"], reason: "checked", by: "ada" });
    expect(mark).toMatchObject({ run, name: "golden", tags: ["smoke"], by: "ada via ci", reason: "checked" });
    await at.client.golden(fork, { name: "second" });
    expect(await at.client.goldens({ workflow: "whole", name: "golden" })).toEqual([mark]);
    expect(await at.client.ungolden({ run }, { by: "bob" })).toEqual([mark]);
    expect((await at.client.history(mark.mark)).at(-1)).toMatchObject({
      type: "run.cancelled",
      data: { by: "bob via ci" },
    });
    expect((await at.client.goldens()).map(({ name }) => name)).toEqual(["second"]);
    expect(await errorOf(at.client.ungolden({}))).toMatchObject({ code: "usage.invalid" });
    expect(await at.client.goldens()).toHaveLength(1);
  });

  it("moves a family from one server to another, byte by byte, and it is restarted and forked there", async () => {
    await using at = await serve([part, whole]);
    const [run, fork] = await family(at);
    const text = await fileOf(at.client.export(fork));
    expect(text).toBe(await fileOf(at.stemma.export(run)));
    await using other = await serve([part, whole]);
    const file = join(folder, "one.family");
    writeFileSync(file, text);
    const taken = await other.client.import(() => createReadStream(file));
    expect(taken.runs).toContain(run);
    expect(await other.client.import(() => createReadStream(file))).toMatchObject({ runs: [], events: 0 });
    expect(await other.client.verify()).toMatchObject({ ok: true });
    expect(await fileOf(other.client.export(run))).toBe(text);
    expect(await (await other.client.fork(fork, { input: 1 })).result()).toBe("it is second 1");
  });

  it("prunes, and is told exactly beforehand what that will be", async () => {
    await using at = await serve([part, whole]);
    const [run] = await family(at);
    await family(at);
    await at.client.golden(run);
    // Not even a millisecond ago: nothing has ended in the future.
    await new Promise((resolve) => setTimeout(resolve, 5));
    const counted = await at.client.prune({ olderThan: 1, dryRun: true });
    expect(counted).toMatchObject({ runs: 6, kept: 2 });
    expect(await at.client.prune({ olderThan: "1ms", status: ["succeeded"] })).toEqual(counted);
    expect(await at.client.verify()).toMatchObject({ ok: true });
    expect(await errorOf(at.client.prune({ olderThan: "soon" }))).toMatchObject({ code: "duration.invalid" });
    expect(await errorOf(at.stemma.prune({ olderThan: later(), compact: true }))).toMatchObject({ code: "store.busy" });
    await expect(async () => at.client.prune({ olderThan: 1, compact: true })).rejects.toMatchObject({
      code: "usage.invalid",
    });
  });
});

describe("a file that is sent", () => {
  const left = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith("stemma-import-"));

  it("is refused with a code where it is none, is cut off or is tampered with; nothing is written, and nothing is left", async () => {
    await using at = await serve([part, whole]);
    const [run] = await family(at);
    const text = await fileOf(at.stemma.export(run));
    await using other = await serve([part, whole]);
    const before = left();
    const send = async (body: string, headers: Record<string, string> = {}): Promise<unknown[]> => {
      const init = { method: "POST", body, headers: { "content-type": "application/x-ndjson", ...headers } };
      const response = await fetch(`${other.url}/v1/import`, init);
      return [response.status, ((await response.json()) as { code: string }).code];
    };
    expect(await send("")).toEqual([422, "import.refused"]);
    expect(await send("{}\n")).toEqual([422, "import.refused"]);
    expect(await send(text.slice(0, -20))).toEqual([422, "import.refused"]);
    expect(await send(text.replace("second", "zecond"))).toEqual([422, "import.refused"]);
    expect(await send(text.replace('"version":1', '"version":2'))).toEqual([409, "store.newer"]);
    expect(await send(text, { "content-type": "text/plain" })).toEqual([415, "request.wrong_type"]);
    expect(await send(text, { "content-encoding": "gzip" })).toEqual([415, "request.wrong_type"]);
    const huge = { method: "POST", headers: { "content-type": "application/x-ndjson" } };
    async function* breaking(): AsyncGenerator<Uint8Array> {
      yield new TextEncoder().encode(text.slice(0, 1000));
      throw new Error("the line broke");
    }
    const body = ReadableStream.from(breaking());
    await expect(fetch(`${other.url}/v1/import`, { ...huge, body, duplex: "half" })).rejects.toThrow("fetch failed");
    expect((await other.stemma.list()).runs).toEqual([]);
    // Others on this machine import as well.
    await until(() => left().every((name) => before.includes(name)));
    expect(
      await other.client.import(() => createReadStream(join(folder, "gone"))).catch((error: Error) => error),
    ).toMatchObject({ code: "ENOENT" });
  });

  it("that the server cannot give whole breaks off, and is not taken for whole", async () => {
    await using at = await serve([part, whole]);
    const [run] = await family(at);
    const { store } = at.stemma;
    const read = store.payloads.bind(store);
    let reads = 0;
    store.payloads = async (digests) => ((reads += 1) > 1 ? new Map<string, string>() : read(digests));
    expect(await errorOf(fileOf(at.client.export(run)))).toMatchObject({ code: "server.unreachable" });
    store.payloads = read;
  });
});

describe("commands with --server", () => {
  it("prove, explain, mark, export, import and prune as on the store itself", async () => {
    await using shop = await workshop([part, whole]);
    await using at = await server(shop.stemma, { port: 0, log: silent }).listen();
    const run = await shop.stemma.run(whole, 1);
    await run.result();
    const [near, far] = [
      ["--store", shop.path],
      ["--server", at.url],
    ];
    for (const words of [
      ["verify"],
      ["verify", run.id, "--family"],
      ["why", run.id, "show"],
      ["why", run.id, "show", "--path", "$"],
      ["prov", run.id],
    ]) {
      const [here, there] = [await typed(...words, ...near), await typed(...words, ...far)];
      // A time may be a moment later.
      const plain = (text: string): string => text.replaceAll(/ +[\d.]+m?s ago/g, " ago");
      expect([words[0], there.status, plain(there.out)]).toEqual([words[0], 0, plain(here.out)]);
    }
    expect((await typed("golden", run.id, "--by", "ada", ...far)).out).toContain("golden");
    expect((await answered("golden", ...near)).value).toMatchObject([{ run: run.id, by: "ada" }]);
    expect((await typed("golden", run.id, "--remove", ...far)).status).toBe(0);
    const file = join(folder, "two.family");
    expect((await typed("export", run.id, "--out", file, ...far)).status).toBe(0);
    await using store = fresh();
    await using other = await serve([part, whole], { engine: { store } });
    expect(await answered("import", file, "--server", other.url)).toMatchObject({ status: 0, value: { there: [] } });
    expect(await client({ url: other.url }).verify(run.id)).toMatchObject({ ok: true });
    const words = ["prune", "--older-than", "1ms", ...far] as const;
    expect((await answered(...words, "--dry-run")).value).toMatchObject({ runs: 3, dryRun: true });
    expect(await answered(...words, "--compact")).toMatchObject({ status: 2, value: { code: "usage.invalid" } });
    // The mark that was given up is a run that ended, and goes too.
    expect((await answered(...words)).value).toMatchObject({ runs: 3 });
    expect((await shop.stemma.list()).runs).toEqual([]);
  });
});
