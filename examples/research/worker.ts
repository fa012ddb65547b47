/**
 * A process of this example: the server, or one of the three nodes. It says in one line of JSON where it listens.
 *
 *     node examples/research/worker.ts server --store stemma.db
 *     node examples/research/worker.ts assessor --server http://127.0.0.1:4747 --modules node_modules --diary diary.txt
 */
import { appendFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import { Agent } from "../../src/agents.ts";
import { Stemma } from "../../src/index.ts";
import { server } from "../../src/server.ts";
import { sqlite } from "../../src/sqlite.ts";
import type { Finding, Style } from "./library.ts";
import { assess, pick, report, unproven } from "./library.ts";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    store: { type: "string", default: "stemma.db" },
    server: { type: "string", default: "" },
    modules: { type: "string", default: "node_modules" },
    diary: { type: "string", default: "" },
    version: { type: "string", default: "1" },
  },
});
const [role = ""] = positionals;
const { modules, version } = values;
/** How long one reads a licence: time enough to be killed in the middle of it. */
const readingMs = 300;

/** Each entering of a function is a line: so it can be counted what was done twice. */
function note(name: string): void {
  appendFileSync(values.diary, `${name}\n`);
}

const offers: Record<string, (agent: Agent) => void> = {
  planner(agent) {
    const brief = z.object({ count: z.number(), style: z.enum(["full", "brief"]) });
    agent.reasoner("research", { input: brief }, async (ctx, { count, style }) => {
      note("research");
      const names = await ctx.call<string[]>("planner.plan", { count });
      const findings = await Promise.all(names.map((name) => ctx.call<Finding>("assessor.assess", { name })));
      const text = await ctx.call<string>("writer.synthesize", { findings, style });
      const doubts = await ctx.call<string[]>("assessor.verify", { findings });
      return { text, doubts };
    });
    agent.skill("plan", { input: z.object({ count: z.number() }) }, (_ctx, { count }) => {
      note("plan");
      return pick(modules, count);
    });
  },
  assessor(agent) {
    agent.reasoner("assess", { input: z.object({ name: z.string() }) }, async (_ctx, { name }) => {
      note(`assess ${name}`);
      await wait(readingMs);
      return assess(modules, name);
    });
    agent.skill("verify", (_ctx, { findings }: { findings: Finding[] }) => {
      note("verify");
      return unproven(modules, findings);
    });
  },
  writer(agent) {
    agent.reasoner("synthesize", (_ctx, { findings, style }: { findings: Finding[]; style: Style }) => {
      note(`synthesize ${version}`);
      // The mistake of version 1: it has heard of no other licences.
      const strange = findings.find(({ licence }) => licence !== "MIT" && licence !== "ISC");
      if (version === "1" && strange !== undefined) throw new Error(`What is ${strange.licence} (${strange.name})?`);
      return report(findings, style);
    });
  },
};

if (role === "server") {
  const stemma = await new Stemma({ store: sqlite(values.store), lease: "2s" }).start();
  const listening = await server(stemma, { port: 0 }).listen();
  console.log(JSON.stringify({ url: listening.url }));
} else {
  const agent = new Agent({ nodeId: role, server: values.server, version, lease: "2s", concurrency: 3 });
  const offer = offers[role];
  if (offer === undefined) throw new Error(`Expected server, planner, assessor or writer, got ${role}.`);
  offer(agent);
  const { url } = await agent.serve();
  console.log(JSON.stringify({ url }));
}
