/**
 * Creates of one process, gathered: calls of one turn of the event loop are one statement, and while some are under way
 * the next gather. A lone call does not wait; under load a statement creates many runs.
 */
import { isStemmaError } from "../../core/error.ts";
import type { Created, NewRun } from "../store.ts";
import { statementCharsMax } from "./columns.ts";
import type { Creation } from "./create.ts";
import { charsOf, creationOf } from "./create.ts";

type Call = {
  runs: readonly NewRun[];
  chars: number;
  resolve: (created: readonly Created[]) => void;
  reject: (error: unknown) => void;
};

/** So that one that waits for another process (of two that create the same run) does not hold up all others. */
const underWayMax = 2;
const runsMax = 1000;

export class Gather {
  readonly #create: (creation: Creation) => Promise<readonly Created[]>;
  #waiting: Call[] = [];
  #scheduled = false;
  #underWay = 0;

  constructor(create: (creation: Creation) => Promise<readonly Created[]>) {
    this.#create = create;
  }

  join(runs: readonly NewRun[]): Promise<readonly Created[]> {
    // What cannot be read fails here, and not the others with it.
    creationOf(runs);
    const { promise, resolve, reject } = Promise.withResolvers<readonly Created[]>();
    const chars = runs.reduce((sum, run) => sum + charsOf(run), 0);
    this.#waiting.push({ runs, chars, resolve, reject });
    this.#schedule();
    return promise;
  }

  #schedule(): void {
    if (this.#scheduled || this.#underWay >= underWayMax || this.#waiting.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.#flush();
    });
  }

  async #flush(): Promise<void> {
    const calls: Call[] = [];
    let [count, chars] = [0, 0];
    for (const call of this.#waiting) {
      count += call.runs.length;
      chars += call.chars;
      // One that is larger than all together may be goes alone.
      if (calls.length > 0 && (count > runsMax || chars > statementCharsMax)) break;
      calls.push(call);
    }
    this.#waiting.splice(0, calls.length);
    this.#underWay += 1;
    this.#schedule();
    await this.#together(calls);
    this.#underWay -= 1;
    this.#schedule();
  }

  async #together(calls: readonly Call[]): Promise<void> {
    try {
      const created = await this.#create(
        creationOf(
          calls.flatMap(({ runs }) => runs),
          "expected",
        ),
      );
      let at = 0;
      for (const { runs, resolve } of calls) resolve(created.slice(at, (at += runs.length)));
    } catch (error) {
      const [only] = calls;
      if (calls.length === 1 || (isStemmaError(error) && error.retryable)) {
        for (const { reject } of calls) reject(error);
      } else if (only !== undefined) {
        // One of them cannot be created; the others can.
        for (const call of calls) await this.#together([call]);
      }
    }
  }
}
