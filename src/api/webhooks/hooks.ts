/** Webhooks on record: each is a value kept beside the runs, with its secrets in the vault. */
import { createHash } from "node:crypto";
import { StemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import { webhookRecords } from "./records.ts";
import { limits } from "../../core/limits.ts";
import { newRunId } from "../../engine/id.ts";
import { keptStates } from "../../engine/kept-states.ts";
import type { Store } from "../../store/store.ts";
import type { Vault } from "./vault.ts";
import type { Sealed, Webhook } from "./wish.ts";

type Filter = Omit<Webhook, "id" | "at">;

export type Hooks = {
  /** @param key however often it is made with it, it is one */
  create(filter: Filter, sealed: Sealed, key?: string): Promise<Webhook>;
  /** The webhook of one run: again is the same as once. */
  attach(run: RunId, filter: Filter, sealed: Sealed): Promise<Webhook>;
  /** One of either kind; nothing where there is none, or it was removed. */
  read(id: RunId): Promise<Webhook | undefined>;
  /** Those for many runs, in the order in which they were made. */
  list(): Promise<Webhook[]>;
  /** False where there is none. Its secrets are gone with it. */
  remove(id: RunId): Promise<boolean>;
  /** Removes webhooks of runs that are not there any more. */
  sweep(): Promise<void>;
};

/** The tag by which the run of a webhook is known without reading it. */
const ofRunTag = "of ";

const kinds: ReadonlySet<string> = new Set([webhookRecords.subscription, webhookRecords.ofRun]);

export function hooksIn(store: Store, vault: Vault): Hooks {
  const kept = keptStates(store);
  const put = async (id: RunId, kind: string, filter: Filter, sealed: Sealed, tags: string[]): Promise<Webhook> => {
    const at = Date.now();
    await kept.keep({ id, kind, value: { ...filter, at }, note: { to: filter.origin }, tags, at });
    const made = await read(id);
    // A run may be there by that id which is none: it is not given a secret.
    if (made !== undefined) {
      await vault.put(id, sealed);
      return made;
    }
    throw new StemmaError("webhook.not_found", `There is no webhook ${id} any more.`, { data: { webhook: id } });
  };
  const read = async (id: RunId): Promise<Webhook | undefined> => {
    const found = await kept.read(id);
    if (found === undefined || !kinds.has(found.kind)) return undefined;
    return { id, ...(found.value as unknown as Omit<Webhook, "id">) };
  };
  return {
    read,
    create: (filter, sealed, key) =>
      put(key === undefined ? newRunId(Date.now()) : hookFor(key), webhookRecords.subscription, filter, sealed, []),
    attach: (run, filter, sealed) => put(hookOf(run), webhookRecords.ofRun, filter, sealed, [`${ofRunTag}${run}`]),
    async list() {
      const found: Webhook[] = [];
      for (const id of await kept.ids(webhookRecords.subscription)) {
        const hook = await read(id);
        if (hook !== undefined) found.push(hook);
      }
      return found;
    },
    remove: (id) => kept.giveUp(id),
    async sweep() {
      let cursor: string | undefined;
      do {
        const page = await store.list({
          workflow: webhookRecords.ofRun,
          status: ["paused", "queued"],
          limit: limits.pageRunsMax,
          ...(cursor === undefined ? {} : { cursor }),
        });
        const hooks = page.runs.flatMap(({ id, state }) => {
          const run = state.tags.find((tag) => tag.startsWith(ofRunTag))?.slice(ofRunTag.length);
          return run === undefined ? [] : [{ id, run }];
        });
        const { runs } = await store.list({ ids: hooks.map(({ run }) => run), limit: limits.pageRunsMax });
        const there = new Set(runs.map(({ id }) => id));
        for (const { id, run } of hooks) if (!there.has(run)) await kept.giveUp(id);
        ({ cursor } = page);
      } while (cursor !== undefined);
    },
  };
}

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
const timeChars = "run_".length + 10;
const idChars = "run_".length + 26;

/** The id of a run's own webhook, made of the run's: so there is one, and it is found without being looked for. */
export function hookOf(run: RunId): RunId {
  return idFrom(run.slice(0, timeChars), `webhook of ${run}`);
}

/** The id of the webhook that is made with a key. When it was made is not in it: with the same key it is the same. */
function hookFor(key: string): RunId {
  return idFrom(`run_${"0".repeat(timeChars - 4)}`, `webhook for ${key}`);
}

function idFrom(beginning: string, text: string): RunId {
  const digest = createHash("sha256").update(text).digest();
  const rest = [...digest].map((byte) => alphabet[byte % alphabet.length]).join("");
  return (beginning + rest).slice(0, idChars);
}
