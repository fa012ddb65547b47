/** How the end of a body is put on record. */
import type { Draft, ErrorRecord, Seq, Value } from "../core/event.ts";
import type { Payload } from "../store/store.ts";
import { toRecord } from "./failure.ts";
import { frontierOf } from "./frontier.ts";
import { toValue } from "./value.ts";

/** What a body ended with. */
export type End = { ok: true; value: unknown } | { ok: false; error: unknown };

/** What a calling run is told of the end. */
type Told = { status: string; output?: Value; error?: ErrorRecord };

/** The last event of a run. An output that cannot be recorded makes it a failure; the steps stay as they are. */
export function endOf(end: End, ended: readonly Seq[]): { draft: Draft; payloads: Payload[]; told: Told } {
  const causes = ended.length > 0 ? ended : [0];
  try {
    if (!end.ok) throw end.error;
    const { value, payload } = toValue(end.value, "output of the run");
    const draft = { type: "run.succeeded" as const, data: { output: value }, causes };
    return { draft, payloads: payload ? [payload] : [], told: { status: "succeeded", output: value } };
  } catch (error) {
    const data = { error: toRecord(error), frontier: frontierOf(error) };
    return { draft: { type: "run.failed", data, causes }, payloads: [], told: { status: "failed", error: data.error } };
  }
}
