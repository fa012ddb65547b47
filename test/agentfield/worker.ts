/**
 * A process of the tests of AgentField's wire: the server, or an agent that speaks nothing else. It says in one line of
 * JSON where it listens.
 *
 *     node test/agentfield/worker.ts server --store stemma.db --port 4747
 *     node test/agentfield/worker.ts agent --name alpha --plane http://… --paid http://… --port 8001
 */
import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { Stemma } from "../../src/index.ts";
import { server } from "../../src/server.ts";
import { sqlite } from "../../src/sqlite.ts";
import type { Functions } from "./agent.ts";
import { agent } from "./agent.ts";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    store: { type: "string", default: "" },
    port: { type: "string", default: "0" },
    name: { type: "string", default: "" },
    plane: { type: "string", default: "" },
    paid: { type: "string", default: "" },
    secret: { type: "string", default: "" },
    // Answers with its results, instead of reporting them.
    line: { type: "boolean", default: false },
  },
});
process.once("disconnect", () => process.exit(1));

/** Pays for something. What it is paid for is the key: an agent of another SDK knows no other. */
async function pay(what: string): Promise<{ receipt: string }> {
  const headers = { "content-type": "application/json", "idempotency-key": what };
  const response = await fetch(`${values.paid}/pay`, { method: "POST", headers, body: JSON.stringify({ what }) });
  return (await response.json()) as { receipt: string };
}

const leaf: Functions = { leaf: ({ input }) => pay((input as { what: string }).what) };

const functions: Record<string, Functions> = {
  alpha: {
    ...leaf,
    root: async ({ input, call }) => {
      const { topics } = input as { topics: string[] };
      const plan = await call("beta.leaf", { what: "plan" });
      const parts = await Promise.all(topics.map((topic) => call("beta.branch", { topic })));
      const noted = await call("alpha.note", { parts: parts.length });
      return { plan, parts, noted, sum: await call("beta.leaf", { what: "sum" }) };
    },
    note: ({ input }) => ({ noted: input }),
    ask: async ({ input, call, approve }) => {
      const { id } = input as { id?: string };
      const before = await call("beta.leaf", { what: "before" });
      const { decision } = await approve(id ?? `asked ${randomUUID()}`);
      return { before, decision, after: await call("beta.leaf", { what: "after" }) };
    },
  },
  beta: {
    ...leaf,
    branch: async ({ input, call }) => {
      const { topic } = input as { topic: string };
      const first = (await call("alpha.leaf", { what: `${topic} 1` })) as { receipt: string };
      const second = (await call("alpha.leaf", { what: `${topic} 2` })) as { receipt: string };
      return { both: [first.receipt, second.receipt] };
    },
  },
};

if (positionals[0] === "server") {
  const stemma = await new Stemma({ store: sqlite(values.store), lease: "1s" }).start();
  const agentfield = { lease: "1s", ...(values.secret === "" ? {} : { approvalSecret: values.secret }) } as const;
  const listening = await server(stemma, { port: Number(values.port), agentfield }).listen();
  console.log(JSON.stringify({ url: listening.url }));
} else {
  const { name, plane, line } = values;
  const reasoners = functions[name] ?? {};
  const made = await agent({ plane, id: name, port: Number(values.port), reasoners, detached: !line });
  console.log(JSON.stringify({ url: made.url }));
}
