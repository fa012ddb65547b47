/** `stemma serve`: answers over HTTP for a store until it is told to stop, and works on the workflows that it is given. */
import type { Command } from "commander";
import { isLoopback } from "../../api/server/origin.ts";
import { Stemma } from "../../engine/stemma.ts";
import { wholeNumber } from "../number-option.ts";
import type { CommonOptions } from "../store-option.ts";
import { openStore, withCommonOptions } from "../store-option.ts";
import { stderrLog, stopSignal } from "../long-running.ts";
import { printJson } from "../terminal.ts";
import { keepOutputClean, loadWorkflows, offerText } from "../workflow-files.ts";

type ServeOptions = CommonOptions & {
  port: number;
  host: string;
  name?: string[];
  origin?: string[];
  webhookRange?: string[];
  agents: boolean;
};

const portDefault = 4747;
const portMax = 65_535;

export function addServe(program: Command): void {
  const several = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];
  const command = program
    .command("serve")
    .description(
      "answer over HTTP and give work to remote nodes until SIGTERM or SIGINT; with files, also work on what they export",
    )
    .argument("[files...]", "TypeScript or JavaScript modules; it works on all workflows that they export")
    .option("--port <n>", "port to listen on; 0 for any that is free", wholeNumber(0, portMax), portDefault)
    .option(
      "--host <address>",
      "address to listen on; others than this machine's need a token in $STEMMA_TOKEN",
      "127.0.0.1",
    )
    .option("--name <host>", "name under which it is reached besides this machine's; may be repeated", several)
    .option("--no-agents", "take no remote nodes; without files it then only looks, answers and steers")
    .option("--origin <origin>", "origin of pages that may ask; may be repeated", several)
    .option(
      "--webhook-range <range>",
      "addresses besides the public internet that webhooks may reach, such as 10.1.0.0/16; may be repeated",
      several,
    );
  withCommonOptions(command).action(serve);
}

async function serve(files: readonly string[], options: ServeOptions): Promise<void> {
  keepOutputClean();
  // No other command needs the server, or should wait until it is loaded.
  const { server } = await import("../../api/server/server.ts");
  const workflows = files.length === 0 ? [] : await loadWorkflows(files);
  const { port, host, name: hosts = [], origin: origins = [], agents } = options;
  const works = workflows.length > 0 || agents;
  await using store = await openStore(options, works ? "work" : "look");
  const log = stderrLog();
  const stemma = new Stemma({ store, workflows, log });
  const token = process.env["STEMMA_TOKEN"] || undefined;
  const key = process.env["STEMMA_WEBHOOK_KEY"] || undefined;
  // What decisions on approvals of AgentField's agents are signed with; without it none are taken by that way.
  const approvalSecret = process.env["STEMMA_APPROVAL_SECRET"] || undefined;
  const agentfield = approvalSecret === undefined ? {} : { agentfield: { approvalSecret } };
  const webhooks = { allow: options.webhookRange ?? [], ...(key === undefined ? {} : { key }) };
  const secret = token === undefined ? {} : { token };
  const app = server(stemma, { port, host, hosts, origins, agents, webhooks, log, ...agentfield, ...secret });
  // Listened for before anything is claimed, so a signal that comes early still drains.
  const stopped = stopSignal();
  const listening = await app.listen();
  if (works) await stemma.start();
  const offers = workflows.map(offerText).toSorted();
  log.info(`listens on ${listening.url} for ${store.name}`, {
    pid: process.pid,
    ...(offers.length === 0 ? {} : { offers }),
  });
  if (!isLoopback(host)) log.warn("What is said to it is not encrypted: put a proxy with TLS in front of it.");
  const signal = await stopped;
  log.info(
    `${signal}: what is under way is answered, and steps that are running may finish; a second signal ends at once`,
  );
  await listening.close();
  await stemma.stop();
  log.info("stopped; every run was given back");
  if (options.json === true) printJson({ url: listening.url, offers, store: store.name, stoppedBy: signal });
}
