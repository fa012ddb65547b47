/**
 * What led to a message or an invocation, whatever was said on the way: of a message the invocation that sent it and which
 * of its messages it is, of an answer its request. So two invocations with one way and other messages are the same place
 * in a graph, in whatever supersteps they come.
 */
import { sha256 } from "../../engine/hash.ts";

const wayDigits = 20;

export function wayOf(...led: readonly (string | number)[]): string {
  return sha256(JSON.stringify(led)).slice(0, wayDigits);
}
