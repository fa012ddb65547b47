/**
 * A process of the tests of nodes: the server, or one node. It says in one line of JSON where it listens.
 *
 *     node test/agents/worker.ts server --store stemma.db --port 4747
 *     node test/agents/worker.ts node --name alpha --server http://… --paid http://…
 */
import { parseArgs } from "node:util";
import { Agent } from "../../src/agents.ts";
import { Stemma } from "../../src/index.ts";
import { server } from "../../src/server.ts";
import { sqlite } from "../../src/sqlite.ts";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    store: { type: "string", default: "" },
    port: { type: "string", default: "0" },
    name: { type: "string", default: "" },
    server: { type: "string", default: "" },
    paid: { type: "string", default: "" },
  },
});
const [role] = positionals;
process.once("disconnect", () => process.exit(1));

if (role === "server") {
  const stemma = await new Stemma({ store: sqlite(values.store), lease: "1s" }).start();
  const listening = await server(stemma, { port: Number(values.port) }).listen();
  console.log(JSON.stringify({ url: listening.url }));
} else {
  const agent = new Agent({ nodeId: values.name, server: values.server, lease: "1s" });
  /** Pays for something, once, however often it is asked for. */
  const pay = async (what: string, key: string): Promise<string> => {
    const headers = { "content-type": "application/json", "idempotency-key": key, "x-node": values.name };
    const response = await fetch(`${values.paid}/pay`, { method: "POST", headers, body: JSON.stringify({ what }) });
    return ((await response.json()) as { receipt: string }).receipt;
  };
  const other = values.name === "alpha" ? "beta" : "alpha";
  agent.reasoner("root", async (ctx, { topics }: { topics: string[] }) => {
    const plan = await ctx.call<string>(`${other}.leaf`, { what: "plan" });
    const parts = await Promise.all(topics.map((topic) => ctx.call<string>(`${other}.branch`, { topic })));
    const own = await pay("sum", ctx.idempotencyKey);
    return [plan, ...parts, own];
  });
  agent.reasoner("branch", async (ctx, { topic }: { topic: string }) => {
    const first = await ctx.call<string>(`${other}.leaf`, { what: `${topic} 1` });
    const second = await ctx.call<string>(`${values.name}.leaf`, { what: `${topic} 2` });
    return `${first}+${second}`;
  });
  agent.skill("leaf", (ctx, { what }: { what: string }) => pay(what, ctx.idempotencyKey));
  const { url, instance } = await agent.serve();
  console.log(JSON.stringify({ url, instance }));
}
