/** Webhooks on record: each is a value kept beside the runs, with its secrets in the vault. */
import { createHash } from "node:crypto";
import { StemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import { canonical } from "../../core/json.ts";
import { webhookRecords } from "./records.ts";
import { limits } from "../../core/limits.ts";
import { newRunId } from "../../engine/id.ts";
import { keptStates } from "../../engine/kept-states.ts";
import type { ToKeep } from "../../engine/kept-states.ts";
import type { By } from "../../engine/requests.ts";
import type { Store } from "../../store/store.ts";
import type { Vault } from "./vault.ts";
import type { Sealed, Webhook } from "./wish.ts";

type Filter = Omit<Webhook, "id" | "at">;

export type Hooks = {
  /**
   * @param key however often it is made with it, it is one: the first that was
   * @throws webhook.not_found where that one was removed
   */
  create(filter: Filter, sealed: Sealed, key?: string): Promise<Webhook>;
  /** Whether one was made with this key, be it there still or not. */
  wasMade(key: string): Promise<boolean>;
  /** The webhook of one run: again is the same as once. */
  attach(run: RunId, filter: Filter, sealed: Sealed): Promise<Webhook>;
  /** One of either kind; nothing where there is none, or it was removed. */
  read(id: RunId): Promise<Webhook | undefined>;
  /** Those for many runs, in the order in which they were made. */
  list(): Promise<Webhook[]>;
  /** False where there is none. Its secrets are gone with it. */
  remove(id: RunId, by?: By): Promise<boolean>;
  /** Removes webhooks of runs that are not there any more. */
  sweep(): Promise<void>;
};

/** The tag by which the run of a webhook is known without reading it. */
const ofRunTag = "of ";

const kinds: ReadonlySet<string> = new Set([webhookRecords.subscription, webhookRecords.ofRun]);

export function hooksIn(store: Store, vault: Vault): Hooks {
  const kept = keptStates(store);
  const put = async (kind: string, filter: Filter, sealed: Sealed, more: Partial<ToKeep>): Promise<Webhook> => {
    const at = Date.now();
    const value = { ...filter, at };
    const by = filter.by === undefined ? {} : { by: filter.by };
    const id = await kept.keep({ id: newRunId(at), kind, value, note: { to: filter.origin }, at, ...by, ...more });
    const made = await read(id);
    // A run may be there by that id which is none: it is not given a secret. Neither is one that was meant otherwise.
    if (made === undefined) throw goneSince(id, more.idempotencyKey);
    if (more.idempotencyKey === undefined || isSame(made, filter)) await vault.put(id, sealed);
    return made;
  };
  const read = async (id: RunId): Promise<Webhook | undefined> => {
    const found = await kept.read(id);
    if (found === undefined || !kinds.has(found.kind)) return undefined;
    return { id, ...(found.value as unknown as Omit<Webhook, "id">) };
  };
  return {
    read,
    create: (filter, sealed, key) =>
      put(webhookRecords.subscription, filter, sealed, key === undefined ? {} : { idempotencyKey: key }),
    async wasMade(idempotencyKey) {
      return (await store.list({ workflow: webhookRecords.subscription, idempotencyKey, limit: 1 })).runs.length > 0;
    },
    attach: (run, filter, sealed) =>
      put(webhookRecords.ofRun, filter, sealed, { id: hookOf(run), tags: [`${ofRunTag}${run}`] }),
    async list() {
      const found: Webhook[] = [];
      for (const id of await kept.ids(webhookRecords.subscription)) {
        const hook = await read(id);
        if (hook !== undefined) found.push(hook);
      }
      return found;
    },
    remove: (id, by) => kept.giveUp(id, by),
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
  const digest = createHash("sha256").update(`webhook of ${run}`).digest();
  const rest = [...digest].map((byte) => alphabet[byte % alphabet.length]).join("");
  return (run.slice(0, timeChars) + rest).slice(0, idChars);
}

function goneSince(id: RunId, key: string | undefined): StemmaError {
  const message =
    key === undefined
      ? `There is no webhook ${id} any more.`
      : `The webhook that was made with this idempotency key, ${id}, was removed. Make another one with another key.`;
  return new StemmaError("webhook.not_found", message, { data: { webhook: id } });
}

/** Whether a webhook is one that was wished for, but for who did: that may be anybody. */
export function isSame(hook: Webhook, wished: Filter): boolean {
  const [there, meant] = [hook, wished].map(({ origin, events, workflow, tag, run, headers, signed }) => {
    const only = [workflow ?? null, tag ?? null, run ?? null];
    return canonical([origin, events, ...only, headers?.toSorted() ?? null, signed]);
  });
  return there === meant;
}
