/** The code that a process has: by name at the highest version, by name and version, and as what it offers to the store. */
import { StemmaError } from "../core/error.ts";
import type { Offer } from "../store/store.ts";
import type { Workflow } from "./body.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { checkWorkflow } from "./options.ts";

/** A workflow, and what tells its code from another. */
export type KnownWorkflow = { readonly workflow: Workflow; readonly fingerprint: string };

export class KnownWorkflows {
  readonly #byId = new Map<string, KnownWorkflow>();
  readonly #highest = new Map<string, Workflow>();
  #offers: readonly Offer[] = [];

  /** Throws workflow.invalid, workflow.duplicate. */
  constructor(workflows: readonly Workflow[]) {
    for (const workflow of workflows) {
      checkWorkflow(workflow);
      if (this.#byId.has(idOf(workflow))) throw duplicate(workflow, "got it twice");
      this.#put(workflow);
    }
  }

  /**
   * Adds those that are not here yet, all or none, and gives their names. The same body again is what is here already.
   * Another body is refused, also one of the same source: its closure may be another, and the runs cannot tell.
   *
   * @throws workflow.invalid, workflow.duplicate
   */
  add(workflows: readonly Workflow[]): readonly string[] {
    const added = new Map<string, Workflow>();
    for (const workflow of workflows) {
      checkWorkflow(workflow);
      const id = idOf(workflow);
      const known = added.get(id) ?? this.#byId.get(id)?.workflow;
      if (known !== undefined && known.body !== workflow.body) throw duplicate(workflow, "got another body for it");
      if (known === undefined) added.set(id, workflow);
    }
    for (const workflow of added.values()) this.#put(workflow);
    return [...added.values()].map(({ name }) => name);
  }

  #put(workflow: Workflow): void {
    const { name, version } = workflow;
    const fingerprint = fingerprintOf(workflow);
    this.#byId.set(idOf(workflow), { workflow, fingerprint });
    this.#offers = [...this.#offers, { workflow: name, version, fingerprint }];
    const before = this.#highest.get(name);
    if (before === undefined || before.version < version) this.#highest.set(name, workflow);
  }

  /** What a claim says that there is code for. */
  get offers(): readonly Offer[] {
    return this.#offers;
  }

  get names(): readonly string[] {
    return [...this.#highest.keys()].toSorted();
  }

  /** The one of this name and version. */
  exactly(name: string, version: number): KnownWorkflow | undefined {
    return this.#byId.get(idOf({ name, version }));
  }

  /** The one of this name, at its highest version. */
  highest(name: string): Workflow | undefined {
    return this.#highest.get(name);
  }
}

function idOf({ name, version }: Pick<Workflow, "name" | "version">): string {
  return `${name}@${version}`;
}

function duplicate(workflow: Workflow, got: string): StemmaError {
  const id = idOf(workflow);
  const message = `Expected each workflow once, ${got}: ${id}. Give one another name or version.`;
  return new StemmaError("workflow.duplicate", message, {
    data: { workflow: workflow.name, version: workflow.version },
  });
}
