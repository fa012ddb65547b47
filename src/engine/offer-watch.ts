/**
 * Says which runs nobody works on because no worker has code for their version: when a worker starts, and when that has
 * changed, looked at once a minute. It is about workflows that this worker knows in another version, because whoever
 * runs it is who has just left the old one behind.
 */
import { noWorkerOffersText } from "../core/offered.ts";
import { limits } from "../core/limits.ts";
import { isTerminal, statuses } from "../core/run.ts";
import type { RunRow, Store } from "../store/store.ts";
import type { Log } from "./body.ts";
import type { Clock } from "./clock.ts";

const everyMs = 60_000;
/** Pages of one workflow's open runs that one look reads, so that a long queue is not read from end to end every minute. */
const pagesMax = 50;
const open = statuses.filter((status) => !isTerminal(status));

type Found = { version: number; runs: number };

export class OfferWatch {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #workflows: Set<string>;
  /** Where the next look goes on, for workflows with more open runs than one look reads. */
  readonly #cursors = new Map<string, string>();
  /** What was said last, by workflow and version, so that it is not said every minute. */
  #said = new Map<string, number>();
  #stopTimer: (() => void) | undefined;
  #started = false;
  #stopped = false;

  /** @param workflows names of those that the worker offers in any version */
  constructor(options: { store: Store; clock: Clock; log: Log }, workflows: Iterable<string>) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#workflows = new Set(workflows);
  }

  /** Looks now, and once a minute from now on. */
  start(): void {
    this.#started = true;
    if (this.#stopped || this.#workflows.size === 0) return;
    void this.#look().then(() => {
      if (!this.#stopped)
        this.#stopTimer = this.#clock.after(everyMs, () => this.start(), { background: true, kind: "poll" });
    });
  }

  /** The worker offers these too, from the next look on, which is now if there was nothing to look at. */
  know(workflows: Iterable<string>): void {
    const none = this.#workflows.size === 0;
    for (const workflow of workflows) this.#workflows.add(workflow);
    if (none && this.#started) this.start();
  }

  stop(): void {
    this.#stopped = true;
    this.#stopTimer?.();
  }

  async #look(): Promise<void> {
    const said = new Map<string, number>();
    try {
      for (const workflow of this.#workflows) {
        const { found, all } = await this.#unoffered(workflow);
        for (const { version, runs } of found) this.#say(said, { workflow, version }, runs, all);
      }
      this.#said = said;
    } catch (error) {
      // A store that cannot be read is spoken of by whoever needs it; this is looked at again in a minute.
      this.#log.debug("Whether runs wait for code could not be looked at", { error: String(error) });
    }
  }

  #say(said: Map<string, number>, of: { workflow: string; version: number }, runs: number, all: boolean): void {
    const id = `${of.workflow}@${of.version}`;
    said.set(id, runs);
    if (this.#stopped || this.#said.get(id) === runs) return;
    this.#log.warn(noWorkerOffersText(of), { ...of, [all ? "runs" : "runsAtLeast"]: runs });
  }

  /** How many open runs of a workflow nobody offers code for, by version; of all of them, or of those that were read. */
  async #unoffered(workflow: string): Promise<{ found: Found[]; all: boolean }> {
    const counts = new Map<number, number>();
    const count = ({ offered, state: { version } }: RunRow): unknown =>
      offered || counts.set(version, (counts.get(version) ?? 0) + 1);
    let cursor = this.#cursors.get(workflow);
    const whole = cursor === undefined;
    for (let pages = 0; pages < pagesMax && !this.#stopped; pages += 1) {
      const page = await this.#store.list({
        workflow,
        status: open,
        limit: limits.pageRunsMax,
        ...(cursor === undefined ? {} : { cursor }),
      });
      for (const row of page.runs) count(row);
      cursor = page.cursor;
      if (cursor === undefined) break;
    }
    if (cursor === undefined) this.#cursors.delete(workflow);
    else this.#cursors.set(workflow, cursor);
    const found = [...counts].map(([version, runs]) => ({ version, runs }));
    return { found: found.toSorted((a, b) => a.version - b.version), all: whole && cursor === undefined };
  }
}
