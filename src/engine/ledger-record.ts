/**
 * The ledger of effects as histories tell it: for runs that are taken in from a file, in which there is none. A `once`
 * step is held by the run that entered it; where one took it over from another, by the one in which it may have happened.
 */
import type { Event, EventOf, ReuseKey, RunId } from "../core/event.ts";
import type { Identity } from "../core/identity.ts";
import { compensationScope, identityOf } from "../core/identity.ts";
import type { Effect } from "../store/store.ts";
import { entriesInLedger, lineOf } from "./line.ts";

/** `isDone`: it happened, or nobody knows; else it certainly did not, or was made up for. */
type Entered = { identity: Identity; way: string | undefined; reuse: ReuseKey; isDone: boolean };

export class LedgerRecord {
  /** Of the run at hand, by label: `once` steps that it entered. */
  readonly #entered = new Map<string, Entered>();
  readonly #identities = new Map<string, Identity>();
  readonly #ways = new Map<string, string>();
  /** Who has what, of the runs before. */
  readonly #holders = new Map<string, { run: RunId; isDone: boolean }>();

  /** Notes what the next event of the run at hand says. */
  note({ type, data }: Event): void {
    if (!("key" in data)) return;
    const { key } = data;
    // The first event of a step says what it is.
    const identity = this.#identities.get(key) ?? identityOf(data);
    this.#identities.set(key, identity);
    if ("way" in data && data.way !== undefined) this.#ways.set(key, data.way);
    if (type === "step.started" && data.effect === "once") {
      // Of one without a success it is not known with what it was; to be under no input means that whoever wants it in
      // this line waits for a decision.
      const reuse = this.#entered.get(key)?.reuse ?? "";
      this.#entered.set(key, { identity, way: this.#ways.get(key), reuse, isDone: true });
    }
    const undone = type === "step.succeeded" ? this.#entered.get(undoneBy(key)) : undefined;
    if (undone !== undefined) undone.isDone = false;
    const entered = this.#entered.get(key);
    if (entered === undefined) return;
    if ("reuse" in data && data.reuse !== undefined) entered.reuse = data.reuse;
    if (type === "step.succeeded" || type === "step.in_doubt") entered.isDone = true;
    if (notDone.has(type)) entered.isDone = false;
  }

  /** What the run at hand has; the next event is of another one. */
  close(run: RunId, created: EventOf<"run.created">): Effect[] {
    const where = lineOf(run, created);
    const wanted: Effect[] = [];
    for (const [key, { identity, way, reuse, isDone }] of this.#entered) {
      for (const entry of Object.values(entriesInLedger(where, { identity, key, way }, reuse))) {
        const id = `${where.line} ${entry.place} ${entry.input}`;
        const holder = this.#holders.get(id);
        if (holder?.isDone === true && !isDone) continue;
        wanted.push({ line: where.line, ...entry, ...(holder === undefined ? {} : { from: holder.run }) });
        this.#holders.set(id, { run, isDone });
      }
    }
    this.#entered.clear();
    this.#identities.clear();
    this.#ways.clear();
    return wanted;
  }
}

const notDone: ReadonlySet<string> = new Set(["step.attempt_failed", "step.failed", "step.cancelled"]);

/** The step that one makes up for; no step has the empty label. */
function undoneBy(key: string): string {
  const inside = `${compensationScope}/`;
  return key.startsWith(inside) ? key.slice(inside.length) : "";
}
