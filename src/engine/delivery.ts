/**
 * The rule of delivery: outcomes reach a body one at a time, in the order of their seq, after the flush that holds
 * them, and between two of them the microtask queue is drained. It is the same live and in recall, and that is what
 * makes a recall take the same path through `Promise.race`, `Promise.any` and steps that nobody awaits.
 *
 * The rule is data so that the tests can run the same programs under wrong rules and see that they notice.
 */
export type Delivery = {
  /** How many outcomes are delivered in one turn of the event loop. */
  perTurn: number;
  /** Whether an outcome waits for the flush that holds it. */
  afterFlush: boolean;
  /** Whether a recorded outcome waits, in recall, for every recorded ask that had been made before its delivery. */
  afterAsks: boolean;
  /** Whether a body that is dataflow is given many recorded outcomes in a turn, the short way. */
  inBulk: boolean;
};

export const delivery: Delivery = { perTurn: 1, afterFlush: true, afterAsks: true, inBulk: true };
