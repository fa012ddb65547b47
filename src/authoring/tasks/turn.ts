/**
 * Tasks that do no I/O follow one another in microtasks, and the event loop would stand still until the last: no timer
 * would fire and no signal arrive. So whoever starts tasks asks after each whether this turn of the event loop has taken
 * long enough, and lets it go round. All runs of a process share one measure, because they share the event loop.
 */

/** Milliseconds after which the event loop is due. */
const turnMs = 5;

// Taken here, so that a test that fakes time does not stop the world.
const { setImmediate } = globalThis;

let watching = false;
let since = 0;
let waiting: (() => void) | undefined;
let next: Promise<void> | undefined;

function turned(): void {
  watching = false;
  const wake = waiting;
  waiting = undefined;
  next = undefined;
  wake?.();
}

/** Whether tasks should wait for the next turn. `now` is that of `performance.now()`. */
export function turnIsOver(now: number): boolean {
  if (watching) return now - since > turnMs;
  watching = true;
  since = now;
  setImmediate(turned);
  return false;
}

/** The next turn of the event loop. Only to be awaited when this one is over. */
export function nextTurn(): Promise<void> {
  next ??= new Promise((resolve) => {
    waiting = resolve;
  });
  return next;
}

/** Carries out work that pauses, and lets the event loop go round in the pauses. */
export async function inTurns<T>(work: Generator<void, T>): Promise<T> {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
    if (turnIsOver(performance.now())) await nextTurn();
  }
}

/** Carries out work that pauses, without pauses. */
export function atOnce<T>(work: Generator<void, T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
  }
}
