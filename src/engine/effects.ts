/**
 * Sees to it that a `once` step is entered once in a whole line of restarts and forks. Before its intent is recorded,
 * the run puts the step into the line's ledger; where another run is there before it, what became of the step there
 * decides: a success is reused, whatever the change says of it; one that is under way is waited for, and so is one that
 * an earlier run may still make up for; one of which nobody knows, or that was done with another input, waits for a
 * decision. Only what certainly did not happen is taken over.
 *
 * A run in which somebody has to decide keeps its place in the ledger: to take it from a run that may be told to go on at
 * this very moment would let both enter. Those behind it say that it is `undecided` there, and go on when it was
 * decided or cancelled.
 */
import type { EventOf, ReuseKey, RunId, Seq } from "../core/event.ts";
import { namesOf } from "../core/identity.ts";
import type { Effect, Holding, Store } from "../store/store.ts";
import type { Ask } from "./ask.ts";
import type { Clock } from "./clock.ts";
import type { Sought, Standing, Standings } from "./effect-standing.ts";
import { standingOf } from "./effect-standing.ts";
import type { Journal } from "./journal.ts";
import type { Line } from "./line.ts";
import { entriesInLedger } from "./line.ts";
import type { Patiently } from "./patience.ts";
import { reusedOutcome } from "./reused-outcome.ts";
import { atTime } from "./timer.ts";

export type EffectsParts = {
  run: RunId;
  store: Store;
  clock: Clock;
  now(): number;
  line: Line;
  /** Keys or names of steps that may be entered again. */
  allowed: readonly string[];
  journal: Pick<Journal, "append" | "firstRef" | "flush" | "reserve" | "reuse">;
  keyOf(ask: Ask): ReuseKey | undefined;
  /** Enters a step that was admitted. */
  begin(ask: Ask): void;
  patiently: Patiently;
  isOver(): boolean;
  changed(): void;
  fault(error: unknown): void;
};

/** A place in the ledger, which step of the runs that hold it is meant, and under which key it has its success. */
type Place = { sought: Sought; effect: Effect; reuse: ReuseKey };

/** How soon a step is looked at again that another run is in the midst of, in milliseconds: at first, and at most. */
const againMsFirst = 250;
const againMsMax = 5000;

export class Effects {
  readonly #with: EffectsParts;
  #judging = 0;
  readonly #looks = new WeakMap<Ask, number>();
  readonly #standings = new WeakMap<Ask, Standings>();

  constructor(parts: EffectsParts) {
    this.#with = parts;
  }

  /** Whether it is being found out if a step may be entered. */
  get busy(): boolean {
    return this.#judging > 0;
  }

  /** Whether a `once` step may be entered; if not, it is begun again when it may, or given its outcome, or in doubt. */
  admits(ask: Ask): boolean {
    const { recorded } = ask;
    if (ask.admitted === true) return true;
    // Its intent is on record: what became of that is known here.
    if (recorded?.entered !== undefined) return true;
    if (ask.judged !== true) {
      ask.judged = true;
      this.#judging += 1;
      this.#judge(ask)
        .then(
          (admitted) => {
            ask.judged = false;
            this.#judging -= 1;
            if (admitted && this.#isOpen(ask)) {
              ask.admitted = true;
              ask.doubtful = false;
              this.#with.begin(ask);
            }
          },
          (error: unknown) => this.#with.fault(error),
        )
        .finally(this.#with.changed);
    }
    return false;
  }

  /** True if the step may be entered. */
  async #judge(ask: Ask): Promise<boolean> {
    const places = this.#placesOf(ask);
    const found = await Promise.all(places.map(({ effect }) => this.#with.journal.reserve(effect)));
    for (const [i, place] of places.entries()) if (!(await this.#isFreeIn(place, ask, found[i] ?? []))) return false;
    return true;
  }

  async #isFreeIn({ sought, effect, reuse }: Place, ask: Ask, found: readonly Holding[]): Promise<boolean> {
    const { run } = this.#with;
    for (let holdings = found; ;) {
      const holder = holdings.find(({ input }) => input === effect.input)?.run ?? run;
      if (holder === run) return this.#isFree(ask) || this.#others(ask, sought, holdings, effect.input);
      const standing = await this.#look(holder, ask, sought, reuse);
      if (!this.#isTakenOver(ask, standing)) return this.#settle(ask, holder, standing);
      holdings = await this.#with.journal.reserve({ ...effect, from: holder });
    }
  }

  /** Whether somebody said that it may be entered: for this run as it is, or, meanwhile perhaps, for this very step. */
  #isFree(ask: Ask): boolean {
    return ask.cleared === true || ask.recorded?.decided === true || this.#isAllowed(ask);
  }

  /** Whether it still waits: meanwhile it may have been taken back, or somebody have decided what became of it. */
  #isOpen({ withdrawn, stage }: Ask): boolean {
    return withdrawn === undefined && stage === "begun" && !this.#with.isOver();
  }

  #placesOf(ask: Ask): readonly Place[] {
    const { line } = this.#with.line;
    const { identity, way } = ask;
    const { key } = ask.ref;
    const reuse = this.#with.keyOf(ask) ?? "";
    const { byIdentity, byLabel } = entriesInLedger(this.#with.line, { identity, key, way }, reuse);
    return [
      { sought: { identity }, effect: { line, ...byIdentity }, reuse },
      { sought: way === undefined ? { key } : { way }, effect: { line, ...byLabel }, reuse },
    ];
  }

  #isAllowed({ ref, identity }: Ask): boolean {
    const names = namesOf(ref.key, identity);
    return this.#with.allowed.some((allowed) => names.includes(allowed));
  }

  /** Whether what became of the same step in another run lets this one have it. */
  #isTakenOver(ask: Ask, standing: Standing): boolean {
    if (standing.is === "in flight") return false;
    return standing.is === "not done" || this.#isFree(ask);
  }

  #settle(ask: Ask, holder: RunId, standing: Standing): false {
    if (!this.#isOpen(ask)) return false;
    if (standing.is === "in flight") this.#hold(ask, holder, standing.isUndecided ? "undecided" : "in flight", true);
    else if (standing.is === "succeeded" && this.#mayGoBack(holder, standing))
      this.#hold(ask, holder, "in flight", true);
    else if (standing.is === "succeeded") this.#reuse(ask, holder, standing);
    else this.#hold(ask, holder, "in doubt", standing.is === "in doubt" && standing.isOpen);
    return false;
  }

  /**
   * Whether a success may still be made up for by the run that has it: whoever went on with it would have nothing. Only an
   * earlier run is waited for, so no two wait for each other.
   */
  #mayGoBack(holder: RunId, { isSettled }: Standing & { is: "succeeded" }): boolean {
    return !isSettled && holder < this.#with.run;
  }

  /** Whether what the line did in this place with other inputs leaves the step free to be entered. */
  async #others(ask: Ask, sought: Sought, holdings: readonly Holding[], own: string): Promise<boolean> {
    for (const { input, run } of holdings) {
      if (run === this.#with.run || input === own) continue;
      const standing = await this.#look(run, ask, sought, input);
      if (standing.is === "not done" || !this.#isOpen(ask)) continue;
      if (this.#isFree(ask)) return true;
      // Of two that wait for each other, the earlier goes first.
      if (standing.is === "in flight" && standing.isHeld && run > this.#with.run) continue;
      if (standing.is === "in flight") this.#hold(ask, run, standing.isUndecided ? "undecided" : "in flight", true);
      else this.#hold(ask, run, "done with another input", false);
      return false;
    }
    return true;
  }

  #look(run: RunId, ask: Ask, sought: Sought, input: string): Promise<Standing> {
    const known = this.#standings.get(ask) ?? (new Map() as Standings);
    this.#standings.set(ask, known);
    return this.#with.patiently(() => standingOf(this.#with.store, run, sought, input, known));
  }

  /** The line has done it: that is the outcome. */
  #reuse(ask: Ask, run: RunId, { found }: Standing & { is: "succeeded" }): void {
    const recording = reusedOutcome(ask, found, run);
    if (recording === undefined) return this.#hold(ask, run, "in doubt", false);
    delete ask.why;
    ask.doubtful = false;
    this.#with.journal.reuse(ask, recording.draft, recording.extra);
    // Nothing may follow that would take it along to the store, and a run with something unwritten does not rest.
    this.#with.journal.flush();
  }

  /**
   * Puts on record that it is not entered because of another run, and which.
   *
   * @param again whether that may change by itself
   */
  #hold(ask: Ask, run: RunId, why: NonNullable<EventOf<"step.in_doubt">["data"]["held"]>["why"], again: boolean): void {
    const held = { run, why };
    const known = ask.held ?? ask.recorded?.held;
    ask.doubtful = true;
    if (known?.run !== run || known.why !== why) {
      ask.held = held;
      ask.why ??= "effect needs a decision";
      const isFirst = ask.begunAt === undefined;
      const ref = isFirst ? this.#with.journal.firstRef(ask) : { key: ask.ref.key };
      const data = { ...ref, attempt: ask.attempt ?? 0, held };
      const causes: readonly Seq[] = ask.begunAt === undefined ? ask.causes : [ask.begunAt];
      ask.begunAt = this.#with.journal.append({ type: "step.in_doubt", data, causes }).seq;
    }
    if (again) this.#lookAgain(ask);
  }

  #lookAgain(ask: Ask): void {
    const { clock, now, begin, isOver } = this.#with;
    const looks = this.#looks.get(ask) ?? 0;
    this.#looks.set(ask, looks + 1);
    const until = now() + Math.min(againMsFirst * 2 ** looks, againMsMax);
    ask.until = until;
    ask.stop = atTime(clock, now, until, () => {
      if (isOver() || ask.doubtful !== true || ask.withdrawn !== undefined || ask.stage !== "begun") return;
      delete ask.until;
      begin(ask);
    });
  }
}
