/**
 * A server and two agents of AgentField's wire, which know nothing of us, each a process of its own. One of them is killed
 * in the middle of a tree of calls and started again: the run comes to its end, what was done is not asked for again but
 * for what was under way, and all of it is one component. An agent that is killed while a person is asked is told what
 * they said. (E10, E11, E12 of the behaviours of control planes.)
 */
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startChild } from "../../examples/audit/child.ts";
import type { Child } from "../../examples/audit/child.ts";
import { Stemma, components } from "../../src/index.ts";
import { sqlite } from "../../src/sqlite.ts";
import { paidService } from "../agents/paid.ts";
import { silent, until } from "../stage.ts";
import type { Said } from "./agent.ts";
import { say } from "./agent.ts";

const worker = new URL("worker.ts", import.meta.url);
const topics = ["a", "b", "c"];
const wanted = ["plan", ...topics.flatMap((topic) => [`${topic} 1`, `${topic} 2`]), "sum"].toSorted();
const secret = "a secret of both sides";

async function processes(open: AsyncDisposableStack, ofBeta: readonly string[] = []) {
  const folder = mkdtempSync(join(tmpdir(), "stemma-wire-"));
  open.defer(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "stemma.db");
  const paid = open.use(await paidService());
  const start = async (...args: string[]): Promise<Child> => {
    const child = await startChild(worker, args);
    open.defer(async () => void (await child.kill()));
    return child;
  };
  const server = (port: string): Promise<Child> => start("server", "--store", file, "--port", port, "--secret", secret);
  const plane = await server("0");
  const url = String(plane.ready["url"]);
  const agent = (name: string, port = "0"): Promise<Child> =>
    start(
      "agent",
      "--name",
      name,
      "--plane",
      url,
      "--paid",
      paid.url,
      "--port",
      port,
      ...(name === "beta" ? ofBeta : []),
    );
  const one: Record<string, Child> = { server: plane, alpha: await agent("alpha"), beta: await agent("beta") };
  return {
    url,
    paid,
    file,
    ask: (method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Said> =>
      say(url, method, path, body, headers),
    async kill(name: string): Promise<void> {
      await one[name]?.kill();
    },
    /** Again, where it was before. */
    async again(name: string): Promise<void> {
      const port = new URL(String(one[name]?.ready["url"])).port;
      one[name] = await (name === "server" ? server(port) : agent(name, port));
    },
  };
}

async function ended(url: string, id: string): Promise<Record<string, unknown>> {
  for (;;) {
    const found = await say(url, "GET", `/api/v1/executions/${id}`).catch(() => undefined);
    const status = String(found?.body["status"]);
    if (found !== undefined && ["succeeded", "failed", "cancelled", "timeout"].includes(status)) return found.body;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe.each(["alpha", "beta", "server"])("E10, E12: killed in the middle of a tree of calls: %s", (victim) => {
  test("the run ends as if nothing had happened", { timeout: 120_000 }, async () => {
    await using open = new AsyncDisposableStack();
    // One agent reports, and of the other one the server holds lines when it is killed.
    const all = await processes(open, victim === "server" ? ["--line"] : []);
    const { paid, url } = all;
    const { body } = await all.ask("POST", "/api/v1/execute/async/alpha.root", { input: { topics } });
    const id = String(body["execution_id"]);
    await until(() => paid.charged.size >= 3 && paid.open.size >= 1);
    await all.kill(victim);
    const requestsBefore = paid.requests.size;
    const store = sqlite(all.file);
    open.defer(() => store.close());
    const looking = new Stemma({ store, log: silent });
    const { runs } = await looking.list({ status: ["succeeded"], limit: 200 });
    const underWay = requestsBefore - runs.filter(({ state }) => state.workflow.endsWith(".leaf")).length;
    await all.again(victim);

    const run = await ended(url, id);
    expect(run["status"]).toBe("succeeded");
    const paidFor = (what: string): string => `paid for ${what}`;
    expect(run["result"]).toEqual({
      plan: { receipt: paidFor("plan") },
      parts: topics.map((topic) => ({ both: [paidFor(`${topic} 1`), paidFor(`${topic} 2`)] })),
      noted: { noted: { parts: 3 } },
      sum: { receipt: paidFor("sum") },
    });
    expect([...paid.charged.values()].toSorted()).toEqual(wanted);
    const repeated = [...paid.requests.values()].reduce((sum, times) => sum + times - 1, 0);
    expect(repeated).toBeLessThanOrEqual(underWay);
    expect(components(await looking.trace(id, { family: true }))).toBe(1);
    const family = (await looking.lineage(id)).runs;
    expect(family).toHaveLength(3 + topics.length * 3);
    expect(family.map(({ status }) => status)).toEqual(family.map(() => "succeeded"));
  });
});

describe.each(["the same id again", "another id"])(
  "E11: killed while a person is asked, then decided: it asks under %s",
  (how) => {
    test("the run ends with what was said", { timeout: 120_000 }, async () => {
      await using open = new AsyncDisposableStack();
      const all = await processes(open);
      const { paid, url } = all;
      const input = how === "another id" ? {} : { id: "req-1" };
      const { body } = await all.ask("POST", "/api/v1/execute/async/alpha.ask", { input });
      const id = String(body["execution_id"]);
      const execution = async (): Promise<Record<string, unknown>> =>
        (await all.ask("GET", `/api/v1/executions/${id}`)).body;
      await until(async () => (await execution())["status"] === "waiting");
      await all.kill("alpha");
      await all.kill("server");
      await all.again("server");
      const said = { requestId: (await execution())["approval_request_id"], decision: "approved" };
      const at = Math.floor(Date.now() / 1000);
      const mac = createHmac("sha256", secret)
        .update(`${at}.${JSON.stringify(said)}`)
        .digest("hex");
      const decided = await all.ask("POST", "/api/v1/webhooks/approval-response", said, {
        "x-webhook-signature": `t=${at},v1=${mac}`,
      });
      expect(decided).toMatchObject({ status: 200, body: { status: "processed" } });
      await all.again("alpha");
      expect(await ended(url, id)).toMatchObject({ status: "succeeded", result: { decision: "approved" } });
      expect([...paid.requests.values()]).toEqual([1, 1]);
    });
  },
);
