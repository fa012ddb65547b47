/** The audit as another process would drive it: everything through the client, over real HTTP. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { client } from "../../src/client.ts";
import { Stemma } from "../../src/index.ts";
import { server } from "../../src/server.ts";
import { sqlite } from "../../src/sqlite.ts";
import { audit } from "./audit.ts";
import { Ledger } from "./ledger.ts";
import { paidService } from "./paid-service.ts";
import { firstPrompts } from "./prompts.ts";

const folder = mkdtempSync(join(tmpdir(), "stemma-over-http-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Six packages of two licences. */
function packages(): string {
  const dir = join(folder, "node_modules");
  for (const [i, license] of ["MIT", "MIT", "ISC", "MIT", "ISC", "MIT"].entries()) {
    const at = join(dir, `package-${i}`);
    mkdirSync(at, { recursive: true });
    writeFileSync(join(at, "package.json"), JSON.stringify({ name: `package-${i}`, version: "1.0.0", license }));
    writeFileSync(join(at, "LICENSE"), `${license} License\n\nPermission is hereby granted`);
    writeFileSync(join(at, "README.md"), `# package-${i}\n`);
  }
  return dir;
}

test("the audit is started, followed, approved, restarted, forked and compared through the client", async () => {
  const ledger = new Ledger(join(folder, "ledger.db"));
  const paid = paidService(ledger).listen(0, "127.0.0.1");
  await once(paid, "listening");
  const service = `http://127.0.0.1:${(paid.address() as AddressInfo).port}`;
  await using store = sqlite(join(folder, "stemma.db"));
  await using work = await new Stemma({ store, workflows: [audit] }).start();
  await using listening = await server(work, { port: 0 }).listen();
  const stemma = client({ url: listening.url });

  const run = await stemma.run(audit, { dir: packages(), service, out: join(folder, "report") }, { by: "test" });
  const types: string[] = [];
  for await (const { type } of run.events()) {
    types.push(type);
    if (type === "wait.opened") {
      const { waits } = await stemma.waits({ run: run.id });
      expect(waits).toMatchObject([{ key: "approval", prompt: "Publish the report on 6 packages?" }]);
      await stemma.resume(run.id, "approval", { approve: true }, { by: "ada" });
    }
  }
  expect(types.at(-1)).toBe("run.succeeded");
  expect(await run.result()).toMatchObject({ packages: 6, approved: true });
  const { charged } = ledger.figures();
  expect(charged).toBe(6);

  const restarted = await stemma.restart(run.id, { reason: "again" });
  expect(await restarted.result()).toMatchObject({ packages: 6, approved: true });
  expect(ledger.figures().charged).toBe(charged);
  const { same } = await stemma.compare(run.id, restarted.id);
  expect(same).toBe(true);

  const change = { patch: { prompts: { ...firstPrompts, ISC: "What do the texts alone say?" } }, by: "ada" };
  const { steps } = await stemma.plan(run.id, change, { dryRun: true });
  expect(steps.filter(({ key, verdict }) => key.startsWith("classify/") && verdict === "run")).toHaveLength(2);
  const forked = await stemma.fork(run.id, change);
  for await (const { type } of forked.events()) {
    if (type === "wait.opened") await stemma.resume(forked.id, "approval", { approve: false });
  }
  await forked.result();
  expect(ledger.figures().charged).toBe(charged + 2);
  const { ancestors } = await stemma.lineage(forked.id);
  expect(ancestors).toEqual([run.id]);
  await new Promise((resolve) => paid.close(resolve));
  ledger.close();
});
