/**
 * Where a run of this wire comes from, in its words. What the engine records of a restart (its source, the step it was
 * cut at, why) is not all that was asked: which execution was named, in which scope and mode. That is a tag of the new
 * run, so it is there on every store, and is not inherited by what is made of that run in another way. So is what its
 * agents are told of reuse, and to which session and actor it belongs.
 */
import type { Replay, ReplayMode } from "./headers.ts";
import { replayModes } from "./headers.ts";
import type { RestartRequest, Scope } from "./restart-request.ts";
import { limits } from "../../core/limits.ts";

export type Asked = {
  kind: "restart" | "fork";
  scope: Scope;
  requested: ReplayMode;
  effective: ReplayMode;
  named: string;
};

const asked = "asked on the wire of agents:";
const replay = "replay on the wire of agents:";

export function askedTag({ kind, scope, requested, effective }: RestartRequest, named: string): string {
  return [asked, kind, scope, requested, effective, encodeURIComponent(named)].join(" ");
}

/** Undefined where no tag says it: the run was made in another way, and its lineage is what the engine records. */
export function askedOf(tags: readonly string[]): Asked | undefined {
  const [kind, scope, requested, effective, named = ""] = wordsOf(tags, asked);
  if ((kind !== "restart" && kind !== "fork") || (scope !== "workflow" && scope !== "execution")) return undefined;
  if (!isMode(requested) || !isMode(effective)) return undefined;
  return { kind, scope, requested, effective, named: decoded(named) };
}

/** None where the ids are too long to be told: nothing is reused by them. */
export function replayTags({ mode, source, before = "" }: Replay): string[] {
  const tag = [replay, mode, encodeURIComponent(source), encodeURIComponent(before)].join(" ");
  return tag.length > limits.nameCharsMax ? [] : [tag];
}

export function replayOf(tags: readonly string[]): Replay | undefined {
  const [mode, source, before = ""] = wordsOf(tags, replay);
  if (!isMode(mode) || source === undefined) return undefined;
  return { mode, source: decoded(source), ...(before === "" ? {} : { before: decoded(before) }) };
}

/** The tags that a run made of one with these has too: not those that say how that one was made. */
export function inherited(tags: readonly string[]): string[] {
  return tags.filter((tag) => !tag.startsWith(`${asked} `) && !tag.startsWith(`${replay} `));
}

function wordsOf(tags: readonly string[], word: string): string[] {
  return (
    tags
      .find((tag) => tag.startsWith(`${word} `))
      ?.slice(word.length + 1)
      .split(" ") ?? []
  );
}

function isMode(mode: string | undefined): mode is ReplayMode {
  return replayModes.some((one) => one === mode);
}

/** Session and actor go with a run, its restarts and what it calls. Tags cannot have every character that ids can. */
export function belongsTags({
  session,
  actor,
}: {
  session?: string | undefined;
  actor?: string | undefined;
}): string[] {
  return [...tagOf("session", session), ...tagOf("actor", actor)];
}

function tagOf(what: string, id: string | undefined): string[] {
  return id === undefined ? [] : [`${what} ${encodeURIComponent(id)}`];
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
