/** What every part of the JSON code shares: the type of a value, its bounds, and the state of one pass over it. */
import type { StemmaError } from "./error.ts";
import { limits } from "./limits.ts";

/** A value that survives being written as JSON and read again. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Text of one value before its bytes are judged; a bound far below the longest string of any engine. */
export const textCharsMax = 67_108_864;

/** Records of ours wrap a value of the full depth in a few levels; they must still be writable and comparable. */
export const trustedDepthMax: number = limits.jsonDepthMax + 32;

/**
 * State of one pass. `keys[0 … depth-1]` leads to the value at hand and `above[0 … depth-1]` are the containers it is
 * in. They are filled as the pass goes and read only to word a refusal, so that no path is made for values that pass.
 */
export interface Pass {
  readonly what: string;
  readonly trusted: boolean;
  readonly depthMax: number;
  readonly nodesMax: number;
  readonly keys: (string | number)[];
  readonly above: object[];
  depth: number;
  nodes: number;
  refusal: StemmaError | undefined;
}

export function newPass(what: string, trusted: boolean, depthMax: number, nodesMax: number): Pass {
  return { what, trusted, depthMax, nodesMax, keys: [], above: [], depth: 0, nodes: 0, refusal: undefined };
}
