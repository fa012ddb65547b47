/**
 * What happened in runs, in the words of W3C PROV, as PROV-JSON (W3C Member Submission of 24 April 2013): steps and runs
 * are activities, values are entities, workers and people are agents. Values are named by their digests and are not in it,
 * so it can be given to others. Computed from events, like the trace.
 */
import type { Digest, Event, EventOf, Produced, RunId, Seq, StateTree, Timestamp, Value } from "./event.ts";
import { byReconcile, outcomeOf } from "./event.ts";
import type { Hash } from "./identity.ts";
import { canonical } from "./json.ts";
import { addToSteps, newSteps } from "./recorded-step.ts";
import type { RecordedSteps } from "./recorded-step.ts";
import type { TracedRun } from "./trace.ts";
import { upstreamOf } from "./upstream.ts";

/** A value of an attribute: plain, or a qualified name. */
type Attribute = string | number | boolean | { $: string; type: string };
type Attributes = Record<string, Attribute>;

/** A PROV-JSON document. Records of each kind by their ids; ids and names of attributes are `prefix:local`. */
export type ProvDocument = { prefix: Record<string, string> } & {
  [K in ProvKind]?: Record<string, Attributes>;
};
export type ProvKind =
  | "entity"
  | "activity"
  | "agent"
  | "used"
  | "wasGeneratedBy"
  | "wasDerivedFrom"
  | "wasAttributedTo"
  | "wasAssociatedWith"
  | "wasInformedBy";

/**
 * @param hash SHA-256, for the digests of small values
 * @param runs histories of a family, whole and in order; what leads to runs that are not among them is named all the same
 */
export function toProv(hash: Hash, runs: readonly TracedRun[]): ProvDocument {
  const writing = new Writing(hash);
  for (const { run, events } of runs) writing.run(run, events);
  return writing.document;
}

/** Ids: a run is `run:<id>`, what stands at an event of it `run:<id>.<seq>`, and its value the same with `.value`. */
const idOf = (run: RunId, seq?: Seq): string => (seq === undefined ? `run:${run}` : `run:${run}.${seq}`);
const valueId = (run: RunId, seq: Seq): string => `${idOf(run, seq)}.value`;

class Writing {
  readonly document: ProvDocument = {
    prefix: { run: "urn:stemma:run:", agent: "urn:stemma:agent:", stemma: "urn:stemma:vocabulary:" },
  };
  readonly #hash: Hash;
  #relations = 0;

  constructor(hash: Hash) {
    this.#hash = hash;
  }

  run(run: RunId, events: readonly Event[]): void {
    const steps = newSteps();
    for (const event of events) addToSteps(steps, event);
    for (const event of events) this.#event(run, event, steps, events);
  }

  #event(run: RunId, event: Event, steps: RecordedSteps, events: readonly Event[]): void {
    switch (event.type) {
      case "run.created":
        return this.#created(run, event, events);
      case "run.started":
        return this.#relate("wasAssociatedWith", {
          "prov:activity": idOf(run),
          "prov:agent": this.#agent(event.data.worker, "prov:SoftwareAgent"),
        });
      case "run.succeeded":
        this.#value(run, event.seq, event.data.output, { "prov:label": "output" });
        this.#relate("wasGeneratedBy", { "prov:entity": valueId(run, event.seq), "prov:activity": idOf(run) });
        return this.#derived(run, event.seq, upstreamOf(steps, event.seq));
      default:
        if (outcomeOf[event.type] === "value" && "key" in event.data) this.#outcome(run, event, steps, events);
    }
  }

  #created(run: RunId, { at, data }: EventOf<"run.created">, events: readonly Event[]): void {
    const last = events.at(-1);
    const ended = last !== undefined && /^run\.(succeeded|failed|cancelled|timed_out)$/.test(last.type);
    this.#put("activity", idOf(run), {
      "prov:startTime": timeText(at),
      ...(ended ? { "prov:endTime": timeText(last.at) } : {}),
      "prov:type": qualified("stemma:run"),
      "prov:label": data.workflow,
      "stemma:version": data.version,
      ...(ended ? { "stemma:status": last.type.slice(4) } : {}),
    });
    this.#value(run, 0, data.input, { "prov:label": "input" });
    this.#relate("used", { "prov:activity": idOf(run), "prov:entity": valueId(run, 0) });
    if (data.by !== undefined) {
      const agent = this.#agent(data.by, "prov:Person");
      this.#relate("wasAssociatedWith", { "prov:activity": idOf(run), "prov:agent": agent });
    }
    const { origin } = data;
    if (!("run" in origin)) return;
    this.#relate("wasInformedBy", {
      "prov:informed": idOf(run),
      "prov:informant": origin.kind === "child" ? idOf(origin.run, origin.seq) : idOf(origin.run),
      "prov:type": qualified(`stemma:${origin.kind}`),
    });
  }

  #outcome(run: RunId, event: Event, steps: RecordedSteps, events: readonly Event[]): void {
    const step = steps.stepAt[event.seq];
    if (step === undefined || !("key" in event.data)) return;
    const data = event.data as { output?: Value; value?: Value; by?: string; origin?: Produced };
    const from = data.origin;
    const value = data.output ?? data.value;
    if (value !== undefined) this.#value(run, event.seq, value, { "prov:label": step.key });
    const sources = upstreamOf(steps, step.first);
    if (from !== undefined) {
      // Nothing was carried out here: the value is that of the step that really executed.
      return this.#relate("wasDerivedFrom", {
        "prov:generatedEntity": valueId(run, event.seq),
        "prov:usedEntity": valueId(from.run, from.seq),
        "prov:type": qualified("stemma:reused"),
      });
    }
    if (data.by !== undefined && value !== undefined) {
      const agent = this.#agent(data.by, "prov:Person");
      this.#relate("wasAttributedTo", { "prov:entity": valueId(run, event.seq), "prov:agent": agent });
    }
    if (event.type === "step.overridden") return;
    if (step.decided !== undefined) return this.#decided(run, event, events[step.decided], sources);
    // A call is what its first event says, which names the run that it made; the run names that event too.
    const activity = idOf(run, step.kind === "call" ? step.first : event.seq);
    this.#put("activity", activity, {
      "prov:startTime": timeText(events[step.first]?.at ?? event.at),
      "prov:endTime": timeText(event.at),
      "prov:type": qualified(`stemma:${step.kind}`),
      "prov:label": step.key,
      "stemma:run": qualified(idOf(run)),
    });
    this.#relate("wasInformedBy", { "prov:informed": activity, "prov:informant": idOf(run) });
    for (const seq of sources) this.#relate("used", { "prov:activity": activity, "prov:entity": valueId(run, seq) });
    if (value === undefined) return;
    this.#relate("wasGeneratedBy", {
      "prov:entity": valueId(run, event.seq),
      "prov:activity": activity,
      "prov:time": timeText(event.at),
    });
  }

  /** Whether the step was carried out nobody saw: the decision made the value known, from what the step was asked with. */
  #decided(run: RunId, { seq }: Event, decision: Event | undefined, sources: readonly Seq[]): void {
    if (decision?.type !== "step.decided") return;
    const activity = idOf(run, decision.seq);
    const { by, key } = decision.data;
    this.#put("activity", activity, {
      "prov:startTime": timeText(decision.at),
      "prov:endTime": timeText(decision.at),
      "prov:type": qualified("stemma:decision"),
      "prov:label": key,
      "stemma:run": qualified(idOf(run)),
    });
    this.#relate("wasInformedBy", { "prov:informed": activity, "prov:informant": idOf(run) });
    if (by !== undefined) {
      const agent = this.#agent(by, by === byReconcile ? "prov:SoftwareAgent" : "prov:Person");
      this.#relate("wasAssociatedWith", { "prov:activity": activity, "prov:agent": agent });
      this.#relate("wasAttributedTo", { "prov:entity": valueId(run, seq), "prov:agent": agent });
    }
    this.#relate("wasGeneratedBy", {
      "prov:entity": valueId(run, seq),
      "prov:activity": activity,
      "prov:time": timeText(decision.at),
    });
    this.#derived(run, seq, sources);
  }

  #derived(run: RunId, seq: Seq, sources: readonly Seq[]): void {
    for (const source of sources) {
      this.#relate("wasDerivedFrom", {
        "prov:generatedEntity": valueId(run, seq),
        "prov:usedEntity": valueId(run, source),
      });
    }
  }

  #value(run: RunId, seq: Seq, value: Value | StateTree, more: Attributes): void {
    const digest = digestOf(this.#hash, value);
    this.#put("entity", valueId(run, seq), {
      ...more,
      "prov:type": qualified("stemma:value"),
      ...(digest === undefined ? {} : { "stemma:sha256": digest }),
    });
  }

  #agent(name: string, type: string): string {
    // A name is anything that somebody typed; an id must be a name in the grammar of PROV.
    const id = `agent:${/^[\w-]+$/.test(name) ? name : this.#hash(name)}`;
    this.#put("agent", id, { "prov:type": qualified(type), "prov:label": name });
    return id;
  }

  #relate(kind: ProvKind, attributes: Attributes): void {
    this.#relations += 1;
    this.#put(kind, `_:r${this.#relations}`, attributes);
  }

  #put(kind: ProvKind, id: string, attributes: Attributes): void {
    const records = (this.document[kind] ??= {});
    records[id] = attributes;
  }
}

function qualified(name: string): Attribute {
  return { $: name, type: "prov:QUALIFIED_NAME" };
}

function timeText(at: Timestamp): string {
  return new Date(at).toISOString();
}

function digestOf(hash: Hash, value: Value | StateTree): Digest | undefined {
  if ("digest" in value) return value.digest;
  return "inline" in value ? hash(canonical(value.inline)) : undefined;
}
