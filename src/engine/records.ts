/** What can be asked of records without working on runs: proof, provenance, and keeping house. `Stemma` has all of it. */
import { StemmaError, isStemmaError } from "../core/error.ts";
import type { RunId, Timestamp } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import type { RunRow, Store } from "../store/store.ts";
import type { ProvDocument } from "../core/prov.ts";
import { toProv } from "../core/prov.ts";
import type { TracedRun } from "../core/trace.ts";
import { exportFamily } from "./export.ts";
import type { OpenFile } from "./export-file.ts";
import type { Imported, ImportOptions } from "./import.ts";
import { importFamily } from "./import.ts";
import type { GoldenMark, GoldenOptions, GoldenQuery } from "./golden.ts";
import { goldenMarks, markGolden, unmarkGolden } from "./golden.ts";
import { sha256 } from "./hash.ts";
import { readHistory } from "./history-pages.ts";
import { checkRunId } from "./id.ts";
import type { By } from "./requests.ts";
import type { PrunedRuns, PruneOptions } from "./prune.ts";
import { pruneFamilies } from "./prune.ts";
import type { Why, WhyOptions } from "./why.ts";
import { whyOf } from "./why.ts";
import type { Verification, VerifyOptions } from "./verify.ts";
import { Verifier } from "./verify.ts";

export abstract class Records {
  abstract readonly store: Store;

  abstract row(id: RunId): Promise<RunRow>;

  protected abstract now(): Timestamp;

  /**
   * Recomputes the hash chain of a run, of its family, or of everything there is, and checks payloads, rows, and what
   * runs name of each other. It writes nothing, needs little memory however much there is, and lets others have their
   * turn. What is not as it was written is in `flaws`, by run, seq and kind.
   *
   * @throws run.not_found, run.invalid_id; store.newer for events that a later version wrote
   * @example
   * const { ok, flaws, head } = await stemma.verify(run.id);
   * if (!ok) for (const { run, seq, kind } of flaws) console.error(`${run} ${seq}: ${kind}`);
   */
  async verify(id?: RunId, options: VerifyOptions = {}): Promise<Verification> {
    if (options.expect !== undefined && (id === undefined || options.family === true)) {
      throw new StemmaError("usage.invalid", "Expected one run with `expect`: a hash is that of one history.");
    }
    const verifier = new Verifier(this.store, options);
    if (id === undefined) {
      for await (const run of runsOf(this.store)) await verifier.verify(run);
      await verifier.rowless();
      return verifier.result();
    }
    const row = await this.row(id).catch(async (error: unknown) => {
      if (!isStemmaError(error, "run.not_found") || !(await verifier.rowless(id))) throw error;
    });
    if (row !== undefined && options.family !== true) await verifier.verify(id);
    else if (row !== undefined)
      for await (const run of runsOf(this.store, row.state.family)) await verifier.verify(run);
    return verifier.result();
  }

  /**
   * Where the output of a step comes from, or without a key that of the run: every step, answer, input and override that
   * leads to it, through reuse, calls and inputs, across runs. With `path` it is about a part of the value, and the answer
   * is narrowed to the places in which that part is found again, where there are any.
   *
   * Causes are exact in graphs and for declared inputs of reused steps; in functions they say what may have been used.
   *
   * @throws run.not_found, step.not_found, run.not_terminal (a run without an output), usage.invalid (nothing at the path)
   * @example
   * const { nodes } = await stemma.why(run.id, "report", { path: "$.packages[3].licence" });
   */
  why(id: RunId, key?: string, options: WhyOptions = {}): Promise<Why> {
    return whyOf(this.store, checkRunId(id), key, options);
  }

  /**
   * What happened in a run, or with `family` in all connected to it, as a W3C PROV-JSON document: for tools that know
   * PROV. Values are named by their digests. Throws run.not_found.
   */
  async prov(id: RunId, options: { family?: boolean } = {}): Promise<ProvDocument> {
    const row = await this.row(id);
    const runs: TracedRun[] = [];
    if (options.family !== true)
      return toProv(sha256, [{ run: id, events: (await readHistory(this.store, id)).events }]);
    for await (const run of runsOf(this.store, row.state.family)) {
      runs.push({ run, events: (await readHistory(this.store, run)).events });
    }
    return toProv(sha256, runs.toReversed());
  }
  /**
   * Marks a run that has ended as golden: what others of its workflow are held against, by `compare` and in CI. Of each name
   * a workflow has one; the one before is un-marked. The run stays as it is, and is kept by `prune` as long as it is golden.
   *
   * @throws run.not_found, run.not_terminal, name.invalid, limit.exceeded (tags), run.conflict (the key is of another mark)
   * @example
   * await stemma.golden(run.id, { by: "ada", reason: "checked by hand" });
   * const { same } = await stemma.compare(later.id); // against the golden run
   */
  async golden(id: RunId, options: GoldenOptions = {}): Promise<GoldenMark> {
    return markGolden(this.store, await this.row(id), this.now(), options);
  }

  /** Un-marks golden runs: of a workflow, by a name, or of one run. Gives the marks that were there; `by` is on record. */
  async ungolden(query: GoldenQuery, by: By = {}): Promise<GoldenMark[]> {
    return unmarkGolden(this.store, query, by);
  }

  /** Which runs are golden, the one that was marked last first. */
  async goldens(query: GoldenQuery = {}): Promise<GoldenMark[]> {
    return goldenMarks(this.store, query);
  }
  /**
   * The family of a run as the texts of one file, to be written one behind the other: every run, event and payload exactly
   * as it is stored, with idempotency keys and what was sent and not taken in. It needs little memory. Streams are no part of it.
   *
   * @throws run.not_found, payload.missing, store.corrupt
   * @example
   * await pipeline(stemma.export(run.id), createWriteStream("audit.stemma"));
   */
  async *export(id: RunId): AsyncGenerator<string> {
    yield* exportFamily(this.store, (await this.row(id)).state.family);
  }

  /**
   * Takes in a family that was exported, from any kind of store. All of it is checked before anything is written. What is
   * there already just so is left as it is, so it may be done again after a crash. Open runs rest, unless `takeOver`.
   *
   * @param open opens the file; it is read more than once
   * @throws import.refused (tampered, cut off, too large, no such file), store.newer, run.conflict, run.invalid_id
   * @example
   * await stemma.import(() => createReadStream("audit.stemma"));
   */
  async import(open: OpenFile, options: ImportOptions = {}): Promise<Imported> {
    return importFamily(this.store, open, options);
  }
  /**
   * Removes runs that ended long enough ago, with their events and what no other run has of their payloads. A run stays
   * as long as something that stays leads to it: a restart or fork of it, the run that called it, a golden mark. It goes
   * on family by family, a few runs at a time; what a crash broke off the next call finishes.
   *
   * @throws usage.invalid, duration.invalid; with `compact` store.busy while a worker is at work, store.full
   * @example
   * const { runs, payloadBytes } = await stemma.prune({ olderThan: "30d", status: ["succeeded"], dryRun: true });
   */
  async prune(options: PruneOptions): Promise<PrunedRuns> {
    return pruneFamilies(this.store, this.now(), options);
  }
}

/** The ids of a family, or of all runs, the newest first. */
export async function* runsOf(store: Store, family?: RunId): AsyncGenerator<RunId> {
  let cursor: string | undefined;
  do {
    const page = await store.list({
      limit: limits.pageRunsMax,
      ...(family === undefined ? {} : { family }),
      ...(cursor === undefined ? {} : { cursor }),
    });
    for (const { id } of page.runs) yield id;
    cursor = page.cursor;
  } while (cursor !== undefined);
}
