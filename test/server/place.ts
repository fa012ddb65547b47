/** A server over real HTTP for tests: a Stemma at work, a server that listens, a client of it. */
import { Stemma } from "../../src/index.ts";
import type { StemmaOptions, Workflow } from "../../src/index.ts";
import { client } from "../../src/client.ts";
import type { ClientOptions, StemmaClient } from "../../src/client.ts";
import { server } from "../../src/server.ts";
import type { ServerOptions, StemmaServer } from "../../src/server.ts";
import { fresh, silent } from "../stage.ts";

export type Served = AsyncDisposable & {
  stemma: Stemma;
  agents: StemmaServer["agents"];
  url: string;
  port: number;
  client: StemmaClient;
};

export type ServeOptions = ServerOptions & {
  engine?: Partial<StemmaOptions>;
  /** Whether the runs are worked on. Default true. */
  working?: boolean;
  client?: Partial<ClientOptions>;
};

export async function serve(workflows: readonly Workflow[], options: ServeOptions = {}): Promise<Served> {
  const { engine = {}, working = true, client: given = {}, ...more } = options;
  const store = engine.store ?? fresh();
  const stemma = new Stemma({ workflows, log: silent, ...engine, store }, { lingerMs: 30 });
  if (working) await stemma.start();
  const served = server(stemma, { port: 0, log: silent, ...more });
  const listening = await served.listen();
  return {
    stemma,
    agents: served.agents,
    url: listening.url,
    port: listening.port,
    client: client({ url: listening.url, ...given }),
    async [Symbol.asyncDispose]() {
      await listening.close({ timeoutMs: 1000 });
      await stemma.stop({ timeout: 1000 });
      if (engine.store === undefined) await store.close();
    },
  };
}
