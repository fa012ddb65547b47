/** The command line against a server: the same commands say the same as on the store itself; and `stemma serve`. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { workflow } from "../../src/index.ts";
import { client } from "../../src/client.ts";
import { server } from "../../src/server.ts";
import { answered, typed, workshop } from "../command-line.ts";
import { silent, until } from "../stage.ts";

const token = "0123456789abcdef0123456789abcdef";
const tale = workflow({ name: "tale" }, async (ctx, n: number) => {
  const parts = await ctx.map("part", [1, 2], (part) => ({ part, text: "x".repeat(2000 * n) }));
  const ok = await ctx.wait<boolean>("approval", { prompt: "Well?" });
  if (!ok) throw new Error("refused");
  return parts.length;
});

afterEach(() => {
  delete process.env["STEMMA_TOKEN"];
  delete process.env["STEMMA_SERVER"];
});

describe("commands with --server", () => {
  it("say what they say of the store, and do what they do there", async () => {
    await using shop = await workshop([tale]);
    await using at = await server(shop.stemma, { port: 0, token, log: silent }).listen();
    process.env["STEMMA_TOKEN"] = token;
    const there = ["--server", at.url];
    const started = await answered("start", "tale", "--input", "1", "--tag", "t", ...there);
    expect(started).toMatchObject({ status: 0 });
    const [{ id } = { id: "" }] = (await shop.stemma.list()).runs;
    await until(async () => (await shop.stemma.row(id)).state.status === "suspended");
    const waits = await typed("waits", "--json", ...there);
    expect(JSON.parse(waits.out)).toMatchObject({ waits: [{ run: id, key: "approval" }] });
    expect((await typed("waits", ...there)).err).toContain(`--server ${at.url}`);
    // What is to be typed next names the server that was asked.
    const shown = await typed("show", id, ...there);
    expect(shown.out).toMatch(new RegExp(`stemma resume ${id} approval .* --server ${at.url}`));
    expect(shown.out).not.toContain("--store");
    expect(await answered("pause", id, "--by", "ada", ...there)).toMatchObject({
      status: 0,
      value: { previous: "suspended", status: "paused" },
    });
    expect((await typed("show", id, ...there)).out).toContain(`stemma unpause ${id} --server ${at.url}`);
    expect(await typed("unpause", id, ...there)).toMatchObject({ status: 0 });
    expect(await typed("signal", id, "later", ...there)).toMatchObject({ status: 0 });
    expect(await typed("resume", id.slice(-8), "approval", "--value", "false", ...there)).toMatchObject({ status: 0 });
    await until(async () => (await shop.stemma.row(id)).state.status === "failed");
    const fork = await typed("fork", id, "--output", "approval=true", "--json", ...there);
    const { run } = JSON.parse(fork.out) as { run: string };
    await (await shop.stemma.get(run)).result();
    for (const words of [
      ["runs"],
      ["show", id, "--outputs"],
      ["trace", id, "--format", "mermaid"],
      ["trace", run, "--family"],
      ["lineage", run],
      ["compare", id, run],
      ["plan", id, "--from", "part#2"],
      ["watch", id],
    ]) {
      const [near, far] = [await typed(...words, "--store", shop.path), await typed(...words, ...there)];
      // A hint names where to ask, and a time may be a moment later.
      const plain = (text: string): string =>
        text
          .replaceAll(/ --(store|server) \S+/g, "")
          .replaceAll("(now)", "(0s ago)")
          .replaceAll(/( +|\()[\d.]+m?s/g, "…");
      expect([words[0], far.status, plain(far.out)]).toEqual([words[0], near.status, plain(near.out)]);
    }
    // A dry run asks the code of the server.
    const dry = await answered("plan", id, "--dry-run", "--output", "approval=true", ...there);
    expect(dry).toMatchObject({ status: 0, value: { grade: "dry run" } });
    expect(await answered("plan", id, "tale.ts", "--dry-run", ...there)).toMatchObject({
      value: { code: "usage.invalid" },
    });
    expect((await typed("doctor", ...there)).status).toBe((await typed("doctor", "--store", shop.path)).status);
    expect(await typed("cancel", id, ...there)).toMatchObject({ status: 4 });
  });

  it("do not take the store of this folder for the server that is named", async () => {
    process.env["STEMMA_SERVER"] = "http://127.0.0.1:1";
    const asked = [
      ["verify"],
      ["prune", "--older-than", "1d"],
      ["golden"],
      ["why", "run_00000000000000000000000000", "a"],
    ];
    for (const words of asked)
      expect([words[0], (await answered(...words)).value["code"]]).toEqual([words[0], "server.unreachable"]);
    const code = join(mkdtempSync(join(tmpdir(), "stemma-named-")), "none.ts");
    const entry = JSON.stringify(join(import.meta.dirname, "../../src/index.ts"));
    writeFileSync(
      code,
      `import { workflow } from ${entry}; export const none = workflow({ name: "none" }, async () => 1);`,
    );
    expect(await typed("worker", code)).toMatchObject({ status: 2, err: expect.stringContaining("--store") });
    rmSync(dirname(code), { recursive: true });
    await using shop = await workshop([tale]);
    expect(await typed("verify", "--store", shop.path)).toMatchObject({ status: 0 });
  });

  it("say what is wrong: no token, no server, both a store and a server", async () => {
    await using shop = await workshop([tale]);
    await using at = await server(shop.stemma, { port: 0, token, log: silent }).listen();
    expect(await answered("runs", "--server", at.url)).toMatchObject({
      status: 4,
      value: { code: "request.unauthorized" },
    });
    process.env["STEMMA_SERVER"] = "http://127.0.0.1:1";
    expect(await answered("runs")).toMatchObject({ status: 4, value: { code: "server.unreachable" } });
    expect(await typed("runs", "--store", shop.path)).toMatchObject({ status: 0 });
    const both = await answered("runs", "--store", shop.path, "--server", at.url);
    expect(both).toMatchObject({ status: 2, value: { code: "usage.invalid" } });
  });
});

describe("stemma serve", () => {
  const main = join(import.meta.dirname, "../../src/cli/main.ts");
  const entry = join(import.meta.dirname, "../../src/index.ts");

  it("listens, works, and when it is told to stop answers what is under way and gives its runs back", async () => {
    const folder = mkdtempSync(join(tmpdir(), "stemma-serve-"));
    const code = `import { workflow } from ${JSON.stringify(entry)};
      export const greet = workflow({ name: "greet" }, (ctx, who: string) => ctx.step("hi", () => "Hello, " + who));`;
    writeFileSync(join(folder, "greet.ts"), code);
    const words = [main, "serve", "greet.ts", "--port", "0", "--json"];
    const env = { ...process.env, STEMMA_STORE: "", STEMMA_APPROVAL_SECRET: "of both sides" };
    const child = spawn(process.execPath, words, { cwd: folder, env });
    try {
      let [out, err] = ["", ""];
      child.stdout.on("data", (chunk) => (out += String(chunk)));
      child.stderr.on("data", (chunk) => (err += String(chunk)));
      const ended = new Promise<number | null>((resolve) => void child.on("close", resolve));
      await until(async () => err.includes("listens on"));
      const url = /listens on (\S+)/.exec(err)?.[1] ?? "";
      const stemma = client({ url });
      expect(await (await stemma.run("greet", "Ada")).result()).toBe("Hello, Ada");
      // A decision on an approval of an agent has to be signed with the secret that was given.
      const headers = { "content-type": "application/json" };
      const unsigned = await fetch(`${url}/api/v1/webhooks/approval-response`, { method: "POST", headers, body: "{}" });
      expect(unsigned.status).toBe(401);
      const tail = stemma.feed();
      expect((await tail.next()).value).toMatchObject({ position: 1 });
      child.kill("SIGTERM");
      expect(await ended).toBe(0);
      await tail.return(undefined);
      expect(JSON.parse(out)).toMatchObject({ url, offers: ["greet@1"], stoppedBy: "SIGTERM" });
    } finally {
      child.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("does not listen where others reach it without a token, and says so before anything begins", async () => {
    await using shop = await workshop([tale]);
    const refused = await answered("serve", "--store", shop.path, "--host", "0.0.0.0", "--port", "0");
    expect(refused).toMatchObject({ status: 2, value: { code: "usage.invalid" } });
  });
});
