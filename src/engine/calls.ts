/**
 * Runs called by runs. The child is created in the very commit that says so in the parent, so there is one child for a
 * call, whatever crashes; when it ends, its last commit puts a message into the parent's inbox, so no end is lost.
 */
import type { RunId } from "../core/event.ts";
import type { RunState } from "../core/reduce.ts";
import type { Message } from "../store/store.ts";
import type { Ask } from "./ask.ts";
import type { CallAsk } from "./body.ts";
import { newRunId } from "./id.ts";
import type { EndMessage } from "./inbox.ts";
import { buildRun } from "./new-run.ts";
import type { WaitSurroundings } from "./waits.ts";

/** The run that calls: what its children inherit. */
export type Caller = { run: RunId; state: RunState; head(): number };

/** Creates the child, unless it is on record already. Its end comes as a message. */
export function beginCall(ask: Ask, call: CallAsk, caller: Caller, surroundings: WaitSurroundings): void {
  if (ask.recorded !== undefined || ask.input === undefined) return;
  const id = newRunId(surroundings.now());
  const { key } = ask.ref;
  const child = buildRun({
    id,
    workflow: call.workflow,
    input: ask.input,
    origin: { kind: "child", run: caller.run, key, seq: caller.head() + 1 },
    family: caller.state.family,
    at: surroundings.now(),
    ...(call.tags === undefined ? {} : { tags: call.tags }),
  });
  const data = { ...surroundings.firstRef(ask), run: id };
  ask.begunAt = surroundings.append({ type: "child.started", data, causes: ask.causes }, { create: [child] }).seq;
}

/** What a child tells its parent with its last commit. */
export function endMessage(run: RunId, state: RunState, end: Omit<EndMessage, "run" | "key">): Message | undefined {
  if (state.origin.kind !== "child") return undefined;
  const body: EndMessage = { run, key: state.origin.key, ...end };
  return { run: state.origin.run, key: `child ${run}`, kind: "child", body: JSON.stringify(body) };
}
