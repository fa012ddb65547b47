/**
 * What `npm start` leaves running when its story is told: a server that answers for the store of the story, and works on
 * audits; the paid service is still there. So a person can look at what happened, and go on with it.
 */
import { Stemma } from "../../src/index.ts";
import { server } from "../../src/server.ts";
import { audit } from "./audit.ts";
import type { Progress } from "./progress.ts";
import { openStore } from "./store.ts";
import type { StorePlace } from "./store.ts";

export type Stay = {
  store: StorePlace;
  run: string;
  /** Port to listen on; 0 for any that is free. */
  port: number;
  out: Progress;
  open: AsyncDisposableStack;
};

/** Returns when it listens and works; what is open then ends with `open`, the server first, then the worker. */
export async function stay({ store, run, port, out, open }: Stay): Promise<void> {
  const runs = open.adopt(openStore(store), (opened) => opened.close());
  const stemma = open.use(await new Stemma({ store: runs, workflows: [audit] }).start());
  const { url } = open.use(await server(stemma, { port }).listen());
  out.line("");
  out.line(`server        ${url}, with a worker, until Ctrl+C`);
  out.line(`              npx stemma show ${run} --server ${url}`);
  out.line(`              npx stemma runs --server ${url}`);
  out.line(`              curl -N "${url}/v1/feed"`);
}
