/**
 * How long the event loop was blocked, measured twice. A chain of `setImmediate` sees every turn, however short the
 * block before it; Node's own histogram samples once a millisecond, as users' dashboards do.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";

/** Milliseconds. */
export type Blocked = {
  /** The longest turn. */
  max: number;
  /** Somebody who comes at a random moment waits at most this long, in 999 (500) of 1,000 cases. */
  p999: number;
  p50: number;
  /** What Node's histogram says, its own resolution of 1 ms included. */
  nodeMax: number;
  nodeP999: number;
  nodeP99: number;
};

/** Width of a class of turns, and how many classes there are; longer turns count in the last one. */
const classMs = 0.05;
const classes = 40_000;

/** Watches from now until the returned function is called. */
export function watchEventLoop(): () => Blocked {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  const spent = new Float64Array(classes);
  let total = 0;
  let max = 0;
  let last = performance.now();
  let next: NodeJS.Immediate;
  const look = (): void => {
    const now = performance.now();
    const turn = now - last;
    last = now;
    total += turn;
    if (turn > max) max = turn;
    const at = Math.min(Math.floor(turn / classMs), classes - 1);
    spent[at] = (spent[at] ?? 0) + turn;
    next = setImmediate(look);
  };
  next = setImmediate(look);
  return () => {
    clearImmediate(next);
    histogram.disable();
    const ms = (nanoseconds: number): number => nanoseconds / 1e6;
    return {
      max,
      p999: quantile(spent, total, 0.999),
      p50: quantile(spent, total, 0.5),
      nodeMax: ms(histogram.max),
      nodeP999: ms(histogram.percentile(99.9)),
      nodeP99: ms(histogram.percentile(99)),
    };
  };
}

/** The length of a turn below which this share of all time was spent. */
function quantile(spent: Float64Array, total: number, share: number): number {
  let sum = 0;
  for (const [i, time] of spent.entries()) {
    sum += time;
    if (sum >= total * share) return (i + 1) * classMs;
  }
  return classes * classMs;
}
