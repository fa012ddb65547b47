/**
 * Where a run of this wire comes from, in its words. What the engine records of a restart (its source, the step it was
 * cut at, why) is not all that was asked: which execution was named, in which scope and mode. That is a tag of the new
 * run, so it is there on every store, and is not inherited by what is made of that run in another way.
 */
import type { ReplayMode } from "./headers.ts";
import { replayModes } from "./headers.ts";
import type { RestartRequest, Scope } from "./restart-request.ts";

export type Asked = {
  kind: "restart" | "fork";
  scope: Scope;
  requested: ReplayMode;
  effective: ReplayMode;
  named: string;
};

const word = "asked on the wire of agents:";

export function askedTag({ kind, scope, requested, effective }: RestartRequest, named: string): string {
  return [word, kind, scope, requested, effective, encodeURIComponent(named)].join(" ");
}

export function isAskedTag(tag: string): boolean {
  return tag.startsWith(`${word} `);
}

/** Undefined where no tag says it: the run was made in another way, and its lineage is what the engine records. */
export function askedOf(tags: readonly string[]): Asked | undefined {
  const found = tags.find(isAskedTag);
  const [kind, scope, requested, effective, named = ""] = found?.slice(word.length + 1).split(" ") ?? [];
  const isMode = (mode: string | undefined): mode is ReplayMode => replayModes.some((one) => one === mode);
  if ((kind !== "restart" && kind !== "fork") || (scope !== "workflow" && scope !== "execution")) return undefined;
  if (!isMode(requested) || !isMode(effective)) return undefined;
  return { kind, scope, requested, effective, named: decoded(named) };
}

/** Session and actor go with a run, its restarts and what it calls. Tags cannot have every character that ids can. */
export function belongsTags({
  session,
  actor,
}: {
  session?: string | undefined;
  actor?: string | undefined;
}): string[] {
  const tag = (what: string, id: string | undefined): string[] =>
    id === undefined ? [] : [`${what} ${encodeURIComponent(id)}`];
  return [...tag("session", session), ...tag("actor", actor)];
}

export function belongsTo(tags: readonly string[]): { session?: string; actor?: string } {
  const found = (what: string): string | undefined =>
    tags.find((tag) => tag.startsWith(`${what} `))?.slice(what.length + 1);
  const [session, actor] = [found("session"), found("actor")];
  return {
    ...(session === undefined ? {} : { session: decoded(session) }),
    ...(actor === undefined ? {} : { actor: decoded(actor) }),
  };
}

/** Whoever wrote a tag by hand may have written anything. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
