/**
 * What a store owes after an error that left it open whether a call went through: the next answer says what is true. A
 * commit that comes again and is there already is accepted; runs that were given out are given out again to the same
 * worker; a worker whose lease had run out is told so at last.
 */
import type { RunId } from "../core/event.ts";
import type { Claimed, ClaimRequest, Commit, CommitResult, Heartbeat, RunRow } from "../store/store.ts";
import type { Call } from "./around.ts";

export class Unheard {
  readonly #parts = new Map<RunId, Commit>();
  readonly #given = new Map<string, readonly RunRow[]>();
  readonly #expired = new Set<string>();

  /** The call went through, and nobody heard the answer. */
  note({ method, args }: Call, answer: unknown): void {
    if (method === "commit") {
      for (const [i, part] of (args[0] as readonly Commit[]).entries()) {
        if ((answer as readonly CommitResult[])[i]?.ok === true) this.#parts.set(part.run, part);
      }
    } else if (method === "claim") {
      const { runs } = answer as Claimed;
      const { worker } = args[0] as ClaimRequest;
      this.#given.set(worker, [...runs, ...(this.#given.get(worker) ?? [])]);
    } else if (method === "heartbeat" && (answer as Heartbeat).expired) {
      this.#expired.add((args[0] as { worker: string }).worker);
    }
  }

  /** Of a claim less is asked for, if runs wait that were given out before. */
  argsOf({ method, args }: Call): readonly unknown[] {
    if (method !== "claim") return args;
    const request = args[0] as ClaimRequest;
    const waiting = this.#given.get(request.worker)?.length ?? 0;
    return waiting === 0 ? args : [{ ...request, limit: Math.max(0, request.limit - waiting) }];
  }

  /** The answer, with what was not heard before. */
  correct({ method, args }: Call, answer: unknown): unknown {
    if (method === "commit") return this.#correctCommit(args[0] as readonly Commit[], answer as CommitResult[]);
    if (method === "claim") return this.#correctClaim(args[0] as ClaimRequest, answer as Claimed);
    if (method === "heartbeat") return this.#correctBeat(args[0] as { worker: string }, answer as Heartbeat);
    return answer;
  }

  #correctCommit(parts: readonly Commit[], results: readonly CommitResult[]): readonly CommitResult[] {
    return results.map((result, i) => {
      const part = parts[i];
      const landed = this.#parts.get(result.run);
      this.#parts.delete(result.run);
      if (part === undefined || landed === undefined || result.ok || !isSame(part, landed)) return result;
      return { run: part.run, ok: true, inbox: result.inbox };
    });
  }

  #correctClaim({ worker, limit }: ClaimRequest, claimed: Claimed): Claimed {
    const waiting = this.#given.get(worker);
    if (waiting === undefined) return claimed;
    this.#given.set(worker, waiting.slice(limit));
    return { ...claimed, runs: [...waiting.slice(0, limit), ...claimed.runs] };
  }

  #correctBeat({ worker }: { worker: string }, heartbeat: Heartbeat): Heartbeat {
    const expired = heartbeat.expired || this.#expired.delete(worker);
    if (expired) this.#given.delete(worker);
    return { ...heartbeat, expired };
  }
}

function isSame(one: Commit, other: Commit): boolean {
  if (one.epoch !== other.epoch || one.seq !== other.seq || one.events.length !== other.events.length) return false;
  return one.events.at(-1)?.hash === other.events.at(-1)?.hash;
}
