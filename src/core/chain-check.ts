/**
 * Recomputes the hash chain of one history, event by event in the order of seq, and says which event is not as it was
 * written. A hash covers the one before it, so one change breaks two links; what stands behind the break tells which of
 * the two events it was, and whether its content or its hash. Nothing is remembered but the few places that are broken,
 * so a history may be as long as one likes.
 *
 * Two things cannot be told apart: an event whose content was changed, and one that stands behind an event that was made
 * anew with a right hash. Both are said of the place at which the chain breaks. What no check of a history by itself can find: a history that was rewritten from some event to its end, all hashes
 * computed anew, and its row with it. The runs that come from it name the hash they left at, and give that away.
 */
import type { StoredEvent } from "./chain.ts";
import { genesis } from "./chain.ts";
import { storedHash } from "./chain-text.ts";
import type { Digest, RunId, Seq } from "./event.ts";
import type { Hash } from "./identity.ts";

/** What is wrong, in a word for programs. */
export type FlawKind =
  | "event altered"
  | "hash altered"
  | "event replaced"
  | "event moved"
  | "event missing"
  | "event added"
  | "event impossible"
  | "row differs"
  | "pack differs"
  | "payload missing"
  | "payload altered"
  | "run missing"
  | "reference differs";

/** Something that is not as it was written, and where. */
export type Flaw = {
  run: RunId;
  /** Place in the history; absent where it is about the run as a whole. */
  seq?: Seq;
  kind: FlawKind;
  /** For people: what was expected, and what is there. */
  message: string;
  /** The event of another run that it is about. */
  target?: { run: RunId; seq: Seq };
  /** The payload that it is about. */
  digest?: Digest;
};

/** A place at which the chain is broken: what stands there, the hash before it, and the hash that it should have there. */
type Broken = { stored: StoredEvent; before: Digest; computed: Digest };

/** An event that was put in, the type of the one behind it, and what was said of it. */
type Added = { stored: StoredEvent; behind: string; flaw: Flaw };

/** Broken places that are remembered for telling events that changed places; more are replaced ones. */
const brokenMax = 8;

export class ChainCheck {
  readonly flaws: Flaw[] = [];
  readonly #hash: Hash;
  readonly #run: RunId;
  /** The hash that the next event has before it, as it is recorded. */
  #before: Digest;
  #next: Seq = 0;
  /** The last event, where it does not fit what is before it; what comes behind it says why. */
  #suspect: Broken | undefined;
  /** Events that fit nowhere, and those behind them that nothing can be said about. */
  readonly #strays: (Broken & { flaw: Flaw | undefined })[] = [];
  /** How much higher the seqs were from here on when the events were written: an event before them is gone or was added. */
  #shift = 0;
  /** The last event that was put in, by what stood behind it. */
  #added: Added | undefined;

  constructor(hash: Hash, run: RunId) {
    this.#hash = hash;
    this.#run = run;
    this.#before = genesis(hash, run);
  }

  /**
   * The next event of the history.
   *
   * @param head seq of the last event by the run's row
   * @returns whether it is what was written here; of one that follows a break that may be known later
   */
  take(stored: StoredEvent, head: Seq): boolean {
    const { seq } = stored;
    const isBehindHead = seq > head - Math.min(this.#shift, 0);
    if (!Number.isSafeInteger(seq) || (isBehindHead && !this.#wasMovedDown(stored))) {
      this.#flaw(
        seq,
        "event added",
        `an event (${stored.type}) stands where the history has none; its last is ${head}`,
      );
      return false;
    }
    if (seq > this.#next) return this.#gap(stored);
    this.#next = seq + 1;
    const fits = this.#suspect === undefined ? this.#follows(stored) : this.#settles(this.#suspect, stored);
    this.#before = stored.hash;
    return fits;
  }

  /** All events have been taken. `seq` and `hash` are those of the last event by the run's row. */
  end(seq: Seq, hash: Digest): void {
    const suspect = this.#suspect;
    this.#suspect = undefined;
    const added = this.#added;
    if (added !== undefined && this.#next === seq + 1 && hash === added.stored.hash) this.#changedPlaces(added);
    const isWhole = this.#next - 1 + this.#shift >= seq;
    if (suspect !== undefined && !isWhole && hash === suspect.stored.hash) {
      // What the row calls the last event stands one place too far ahead.
      this.#removed(suspect.stored.seq);
      return;
    }
    if (suspect !== undefined) this.#last(suspect, isWhole ? hash : suspect.stored.hash);
    else if (isWhole && this.#before !== hash) this.#headDiffers(hash);
    if (!isWhole) this.#missing(this.#next, seq);
    this.#findMoved();
  }

  /** Whether it stands one place too far behind because the event before it was put in. */
  #wasMovedDown(stored: StoredEvent): boolean {
    const suspect = this.#suspect;
    return (
      suspect !== undefined &&
      stored.seq === this.#next &&
      this.#hashed(suspect.before, stored, this.#shift - 1) === stored.hash
    );
  }

  #follows(stored: StoredEvent): boolean {
    const computed = this.#hashed(this.#before, stored, this.#shift);
    if (computed === stored.hash) return true;
    // Behind two that changed places the chain goes on from the one of them that stands further ahead.
    for (const { stored: stray } of this.#strays) {
      if (this.#hashed(stray.hash, stored, this.#shift) === stored.hash) return true;
    }
    if (this.#isBehindChanged(stored)) return true;
    this.#suspect = { stored, before: this.#before, computed };
    return false;
  }

  /**
   * An event that stands one place too far behind looks like one before which another was put in, until the next one
   * shows that both changed places: it stands behind the one that is ahead of its place.
   */
  #isBehindChanged(stored: StoredEvent): boolean {
    const added = this.#added;
    if (added === undefined || stored.seq !== added.stored.seq + 2) return false;
    if (this.#hashed(added.stored.hash, stored, this.#shift + 1) !== stored.hash) return false;
    this.#changedPlaces(added);
    return true;
  }

  #changedPlaces({ stored, behind, flaw }: Added): void {
    const { seq } = stored;
    this.#shift += 1;
    Object.assign(flaw, movedFlaw(stored.type, seq + 1));
    const { kind, message } = movedFlaw(behind, seq);
    this.#flaw(seq + 1, kind, message);
  }

  /** What stands behind an event that does not fit tells what is wrong with that one. */
  #settles(suspect: Broken, stored: StoredEvent): boolean {
    this.#suspect = undefined;
    const { seq, type, hash } = suspect.stored;
    if (this.#hashed(hash, stored, this.#shift) === stored.hash) {
      this.#flaw(seq, "event altered", `${type} is not what was written behind the event before it`);
      return true;
    }
    if (this.#hashed(suspect.computed, stored, this.#shift) === stored.hash) {
      this.#flaw(seq, "hash altered", `${type} is what was written, and its hash is not`);
      return true;
    }
    if (this.#hashed(hash, stored, this.#shift + 1) === stored.hash) {
      this.#shift += 1;
      this.#removed(seq);
      return true;
    }
    if (this.#hashed(suspect.before, stored, this.#shift - 1) === stored.hash) {
      this.#shift -= 1;
      const message = `an event (${type}) was put in here, and those behind it were given other places`;
      this.#added = { stored: suspect.stored, behind: stored.type, flaw: this.#flaw(seq, "event added", message) };
      return true;
    }
    const flaw = this.#flaw(seq, "event replaced", `${type} is not the event that was written here`);
    this.#stray(suspect, flaw);
    // The hash that this one was written behind is gone, so nothing can be said of it: the chain begins anew with it.
    this.#stray({ stored, before: hash, computed: stored.hash }, undefined);
    return true;
  }

  #removed(seq: Seq): void {
    this.#flaw(seq, "event missing", "an event was removed here, and those behind it were given other places");
  }

  /** The last event of all: the run's row holds the hash that it was written with. */
  #last({ stored, before, computed }: Broken, hash: Digest): void {
    const { seq, type } = stored;
    if (hash === stored.hash) {
      this.#flaw(seq, "event altered", `${type} is not what was written: its content does not have its hash`);
    } else if (hash === computed) {
      this.#flaw(seq, "hash altered", `${type} is what was written, and its hash is not`);
    } else {
      const flaw = this.#flaw(seq, "event replaced", `${type} is not the event that was written here`);
      this.#stray({ stored, before, computed }, flaw);
    }
  }

  #headDiffers(hash: Digest): void {
    // Where events stand behind the last one, that one has the wrong place and not the wrong hash; and the row may name
    // the hash of one of two events that changed places.
    const isSaid = this.flaws.some((flaw) => flaw.kind === "event added" || flaw.kind === "event moved");
    if (isSaid || this.#strays.some(({ stored }) => stored.hash === hash)) return;
    this.#flaw(this.#next - 1, "row differs", "the run's row names another hash than that of its last event");
  }

  /** Events are not there; of the one behind them nothing can be said. */
  #gap(stored: StoredEvent): boolean {
    if (this.#suspect !== undefined) this.#last(this.#suspect, this.#suspect.stored.hash);
    this.#suspect = undefined;
    this.#missing(this.#next, stored.seq - 1);
    this.#stray({ stored, before: this.#before, computed: stored.hash }, undefined);
    this.#next = stored.seq + 1;
    this.#before = stored.hash;
    return true;
  }

  #missing(from: Seq, to: Seq): void {
    const events = from === to ? `event ${from} is` : `events ${from} to ${to} are`;
    this.#flaw(from, "event missing", `${events} not there`);
  }

  #stray(broken: Broken, flaw: Flaw | undefined): void {
    if (this.#strays.length < brokenMax) this.#strays.push({ ...broken, flaw });
  }

  /** Events that fit where they stand no more, but fit at another of the broken places, changed places. */
  #findMoved(): void {
    for (const stray of this.#strays) {
      const { stored } = stray;
      const place = this.#strays.find(
        (other) => other !== stray && this.#fitsAt(stored, other.stored.seq, other.before),
      );
      if (place === undefined) continue;
      const moved = movedFlaw(stored.type, place.stored.seq);
      if (stray.flaw === undefined) this.#flaw(stored.seq, moved.kind, moved.message);
      else Object.assign(stray.flaw, moved);
    }
  }

  #fitsAt(stored: StoredEvent, seq: Seq, before: Digest): boolean {
    const at = seq - stored.seq;
    const hashes = [before, ...this.#strays.map((stray) => stray.stored.hash)];
    return hashes.some((hash) => hash !== stored.hash && this.#hashed(hash, stored, at) === stored.hash);
  }

  #hashed(before: Digest, stored: StoredEvent, shift: number): Digest {
    const { data, causes } = stored as { data: unknown; causes: unknown };
    // A database may give back anything once somebody has written to it.
    if (typeof data !== "string" || typeof causes !== "string") return "";
    return storedHash(this.#hash, before, shift === 0 ? stored : { ...stored, seq: stored.seq + shift });
  }

  #flaw(seq: Seq, kind: FlawKind, message: string): Flaw {
    const flaw: Flaw = { run: this.#run, seq, kind, message };
    this.flaws.push(flaw);
    return flaw;
  }
}

function movedFlaw(type: string, seq: Seq): { kind: FlawKind; message: string } {
  return { kind: "event moved", message: `the event (${type}) that stands here was written as event ${seq}` };
}
