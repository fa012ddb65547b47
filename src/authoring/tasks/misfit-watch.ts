/**
 * A run that does not fit its graph is set aside until somebody decides, and would let who waits for its results wait
 * as long. So while they wait, it is looked at now and then.
 */
import type { Digest, RunId } from "../../core/event.ts";
import type { Stemma } from "../../engine/stemma.ts";
import type { GraphMisfit } from "./misfit.ts";
import { misfitError } from "./misfit.ts";

const everyMs = 200;

// Taken here, so that a test that fakes time does not stop the watch.
const { setTimeout, clearTimeout } = globalThis;

export class MisfitWatch {
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** Rejects with run.divergence when the run is set aside because this code does not fit it; else never settles. */
  refused(stemma: Stemma, id: RunId, fingerprint: Digest): Promise<never> {
    return new Promise((_, reject) => {
      const look = (): void => {
        misfitOf(stemma, id, fingerprint).then((found) => {
          if (this.#closed) return;
          if (found === undefined) this.#timer = setTimeout(look, everyMs).unref();
          else reject(misfitError(id, found));
        }, reject);
      };
      this.#timer = setTimeout(look, everyMs).unref();
    });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}

/** Undefined as long as the run is not set aside by this very code: others may yet go on with it. */
async function misfitOf(stemma: Stemma, id: RunId, fingerprint: Digest): Promise<GraphMisfit | undefined> {
  const { state } = await stemma.row(id);
  if (state.status !== "suspended") return undefined;
  const last = (await stemma.history(id, { after: state.seq - 1 })).at(-1);
  if (last?.type !== "run.suspended" || last.data.reason !== "divergence") return undefined;
  if (last.data.fingerprint !== fingerprint) return undefined;
  return (last.data.detail as { misfit: GraphMisfit }).misfit;
}
