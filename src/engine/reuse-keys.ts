/** The keys under which the outcomes of one run's asks can be found again by other runs of its family. */
import { StemmaError } from "../core/error.ts";
import type { Digest, EventOf, ReuseKey, Value } from "../core/event.ts";
import type { Identity } from "../core/identity.ts";
import { compensationScope, reuseKey } from "../core/identity.ts";
import { canonical } from "../core/json.ts";
import type { Json } from "../core/json.ts";
import type { Called, Placed } from "../core/reuse-key.ts";
import { alwaysKey, begunKey, callKey, undeclaredKey, undeclaredWaitKey, waitKey } from "../core/reuse-key.ts";
import type { Ask } from "./ask.ts";
import { isWithin } from "./ask.ts";
import type { CallAsk, StepAsk, WaitAsk } from "./body.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { sha256 } from "./hash.ts";
import type { Loaded } from "./load.ts";
import { digestOf, fromValue } from "./value.ts";

export class ReuseKeys {
  readonly #code: string;
  /** The context of the run: its own digest, and its parts by name where it has any. */
  readonly #context: { digest: Digest | null; parts: { readonly [name: string]: Json } };

  /** @param code fingerprint of the workflow's code */
  constructor({ created, texts }: Pick<Loaded, "created" | "texts">, code: string) {
    this.#code = code;
    const { context } = created.data;
    const value = context === undefined ? undefined : (fromValue(context, texts) as Json);
    const parts = typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
    this.#context = { digest: context === undefined ? null : referenceDigest(context), parts };
  }

  /** Undefined for what is never reused: steps that make up for others, and those whose author says so. */
  of(ask: Ask): ReuseKey | undefined {
    const { work, identity } = ask;
    if (work.kind !== "call" && work.ask.reuse === "never") return undefined;
    if (ask.reuse === undefined && !isWithin(identity.scope, compensationScope)) ask.reuse = this.#of(ask);
    return ask.reuse;
  }

  #of(ask: Ask): ReuseKey {
    const { work, identity } = ask;
    if (work.kind === "step") return this.#ofStep(ask, work.ask);
    return work.kind === "wait" ? this.#ofWait(ask, work.ask) : this.#ofCall(identity, work.ask);
  }

  /** The key under which a call's beginning is found. */
  begun({ work, identity }: Ask): ReuseKey {
    if (work.kind !== "call") throw new StemmaError("engine.bug", `${identity.name} is no call.`);
    return begunKey(sha256, this.#called(identity, work.ask));
  }

  /** Whether a called run is the one that a call would make: of the same version, in the same context. */
  isCalledBy({ work, identity }: Ask, created: EventOf<"run.created">): boolean {
    if (work.kind !== "call") return false;
    const { version, context } = this.#called(identity, work.ask);
    const { data } = created;
    return data.version === version && (data.context === undefined ? null : referenceDigest(data.context)) === context;
  }

  /** Whether what is asked says what it uses, so that it can be known again wherever it is asked. */
  static isDeclared({ work, identity }: Ask): boolean {
    return identity.input !== null || (work.kind === "step" && work.ask.reuse === "always");
  }

  #ofStep(ask: Ask, { version = 1, context, reuse }: StepAsk): ReuseKey {
    const { scope, name, input, n } = ask.identity;
    if (input !== null) {
      return reuseKey(sha256, {
        scope,
        name,
        version,
        input,
        context: context === undefined ? [] : this.#read(context),
      });
    }
    if (reuse === "always") return alwaysKey(sha256, { scope, name, n, version });
    return undeclaredKey(sha256, this.#placed(ask), version);
  }

  #ofWait(ask: Ask, { kind, prompt, schema, validate }: WaitAsk): ReuseKey {
    const { name, input } = ask.identity;
    // What a schema without a JSON Schema lets through is known only to the code.
    const shape = schema ?? (validate === undefined ? null : { code: this.#code });
    const question = { kind, prompt: prompt ?? null, schema: shape };
    if (input !== null) return waitKey(sha256, name, input, question);
    return undeclaredWaitKey(sha256, this.#placed(ask), question);
  }

  #ofCall(identity: Identity, call: CallAsk): ReuseKey {
    return callKey(sha256, { ...this.#called(identity, call), code: fingerprintOf(call.workflow) });
  }

  #called({ scope, name, input }: Identity, { workflow, context }: CallAsk): Omit<Called, "code"> {
    const { name: called, version } = workflow;
    const given = context === undefined ? this.#context.digest : digestOf(context);
    return { scope, name, workflow: called, version, input: input ?? "", context: given };
  }

  #placed({ identity, prefix = "" }: Ask): Placed {
    const { scope, name, n } = identity;
    return { scope, name, n, code: this.#code, prefix };
  }

  /** The named parts of the context that are there. */
  #read(names: readonly string[]): Json {
    const { parts } = this.#context;
    return Object.fromEntries(
      names.flatMap((name) => (Object.hasOwn(parts, name) ? [[name, parts[name] as Json]] : [])),
    );
  }
}

/** Digest of a value as an event holds it; as `digestOf` of what it was encoded to. */
export function referenceDigest(value: Value): Digest {
  if ("digest" in value) return value.digest;
  return sha256("inline" in value ? canonical(value.inline) : "");
}
