/**
 * Where a command finds the runs: in a store that it opens, or on a server that it asks. Commands that look at runs or
 * ask something of them are written over what both have.
 */
import type { Command } from "commander";
import type { StemmaClient } from "../api/client/client.ts";
import { client } from "../api/client/client.ts";
import { StemmaError } from "../core/error.ts";
import type { Event, RunId } from "../core/event.ts";
import type { StoredEvent } from "../core/chain.ts";
import type { Change } from "../engine/change.ts";
import { Stemma } from "../engine/stemma.ts";
import type { Workflow } from "../engine/body.ts";
import { isInspectable } from "../store/inspection.ts";
import type { Finding } from "../store/inspection.ts";
import type { Store } from "../store/store.ts";
import type { CommonOptions } from "./store-option.ts";
import { openStore, withCommonOptions } from "./store-option.ts";
import type { Followed } from "./wait-for-end.ts";

/** What is asked of runs, here or on a server. */
export type Asked = Pick<
  Stemma,
  | "row"
  | "list"
  | "plan"
  | "resume"
  | "fail"
  | "resuspend"
  | "signal"
  | "decide"
  | "cancel"
  | "pause"
  | "unpause"
  | "waits"
  | "history"
  | "trace"
  | "lineage"
  | "compare"
  | "verify"
  | "why"
  | "prov"
  | "golden"
  | "ungolden"
  | "goldens"
  | "export"
  | "import"
  | "prune"
> & {
  readonly store: Looked;
  restart(id: RunId, change: Change): Promise<Followed>;
  fork(id: RunId, change: Change): Promise<Followed>;
};

/** What is read of a store, wherever it is. */
export type Looked = Pick<Store, "name" | "list" | "history" | "payloads">;

export type Place = AsyncDisposable & {
  stemma: Asked;
  store: Looked;
  /** What the store says of itself; nothing where it has nothing to say. */
  inspect(): Promise<readonly Finding[]>;
};

/** Adds what every command takes that can be asked of a server too. */
export function withPlaceOptions(command: Command, json?: string): Command {
  return withCommonOptions(command, json).option(
    "--server <url>",
    "ask this server instead of a store (default: $STEMMA_SERVER; its token: $STEMMA_TOKEN)",
  );
}

/** Address of the server that is to be asked, if one is. Throws usage.invalid where a store is named too. */
export function serverOf({ server, store }: CommonOptions): string | undefined {
  if (server !== undefined && store !== undefined) {
    throw new StemmaError("usage.invalid", "Expected --store or --server, got both. Leave one out.");
  }
  return server ?? (store === undefined ? process.env["STEMMA_SERVER"] || undefined : undefined);
}

/**
 * @param workflows the code that is here, for what is asked of it; a server asks its own
 * @param use "work" makes a store where there is none
 * @throws StemmaError as `openStore`; usage.invalid for what is no address
 */
export async function openPlace(
  options: CommonOptions,
  workflows: readonly Workflow[] = [],
  use: "look" | "work" = "look",
): Promise<Place> {
  const url = serverOf(options);
  if (url !== undefined) return onServer(url);
  const store = await openStore(options, use);
  const stemma = new Stemma({ store, workflows });
  return {
    stemma,
    store,
    inspect: async () => (isInspectable(store) ? store.inspect() : []),
    async [Symbol.asyncDispose]() {
      await stemma.stop();
      await store.close();
    },
  };
}

/** A client of a server, with the token that the environment has for it: words of a command are seen by others. */
export function clientOf(url: string): StemmaClient {
  const token = process.env["STEMMA_TOKEN"];
  return client({ url, ...(token === undefined || token === "" ? {} : { token }) });
}

function onServer(url: string): Place {
  const remote = clientOf(url);
  const store: Looked = {
    name: `server ${remote.url}`,
    list: (query) => remote.list(query),
    payloads: (digests) => remote.payloads(digests),
    async history(run, page) {
      const { row, events, more } = await remote.historyPage(run, page);
      return { row, events: events.map(storedOf), more, inbox: [] };
    },
  };
  return {
    stemma: Object.assign(remote, { store }),
    store,
    inspect: async () => (await remote.doctor()).findings,
    // There is nothing to close.
    [Symbol.asyncDispose]: async () => {},
  };
}

/** The form in which commands that read a store get an event. */
function storedOf({ causes, data, ...event }: Event): StoredEvent {
  return { ...event, causes: JSON.stringify(causes), data: JSON.stringify(data) };
}
