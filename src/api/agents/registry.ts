/**
 * The nodes that are registered. Registrations are values kept in the store, so every server on it has them, also after a
 * restart. Whether a node is alive is known only in memory, by what it says to this server, or answers when it is asked:
 *
 *     up ──silent for a while──▶ silent ──refuses, or says nothing for its lease──▶ down
 *      ▲────────heard of, or answers────────┴──────────────────────────────────────────┘
 *
 * So heartbeats write nothing, a server that comes back finds out before it holds anybody dead, and a node that speaks to
 * one server is known to the others to be there.
 */
import { randomUUID } from "node:crypto";
import { StemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import type { By } from "../../engine/requests.ts";
import { limits } from "../../core/limits.ts";
import { recordOf } from "../../core/record-names.ts";
import type { Log } from "../../engine/body.ts";
import { newRunId } from "../../engine/id.ts";
import type { KeptStates, Store } from "../../engine/kept-states.ts";
import { keptStates } from "../../engine/kept-states.ts";
import type { NodeGiven, NodeState, Registration } from "./node.ts";
import { checkNode } from "./node.ts";
import { Rounds } from "./rounds.ts";
import type { Probe } from "./probe.ts";

/** Name of the records. */
export const nodeRecord: string = `${recordOf}a node`;

export type Node = {
  readonly id: RunId;
  readonly registration: Registration;
  state: NodeState["state"];
  heardAt: number;
  /** How often in a row nothing listened at its address. */
  refusals: number;
  probing: boolean;
};

export type RegistryParts = {
  store: Store;
  log: Log;
  probe: Probe;
  /** A node is there that was not known, or was held dead. */
  came(node: Node): void;
  /** A node does not answer, or left, or another process has its address. */
  went(node: Node, why: string): void;
};

const tickMs = 250;
/** Refusals after which nobody is there. */
const refusalsMax = 2;
/** How long one that is down stays registered. */
const forgottenMs = 24 * 3_600_000;

export class Registry {
  readonly #with: RegistryParts;
  readonly #kept: KeptStates;
  readonly #nodes = new Map<RunId, Node>();
  readonly #readings = new Rounds(() => this.#read());
  /** Changes of registrations go one after the other. */
  #changing: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: RegistryParts) {
    this.#with = parts;
    this.#kept = keptStates(parts.store);
  }

  get all(): readonly Node[] {
    return [...this.#nodes.values()].toSorted((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
  }

  of(node: string): readonly Node[] {
    return this.all.filter(({ registration }) => registration.node === node);
  }

  /** Reads what other servers have registered, or given up. */
  refresh(): Promise<void> {
    return this.#readings.again();
  }

  async #read(): Promise<void> {
    const ids = new Set(await this.#kept.ids(nodeRecord));
    for (const [id, node] of this.#nodes) {
      if (ids.has(id)) continue;
      this.#nodes.delete(id);
      this.#with.went(node, "it left");
    }
    for (const id of ids) {
      const kept = this.#nodes.has(id) ? undefined : await this.#kept.read(id);
      if (kept !== undefined && !this.#nodes.has(id)) this.#add(id, kept.value as unknown as Registration);
    }
  }

  #add(id: RunId, registration: Registration): Node {
    const node: Node = { id, registration, state: "up", heardAt: Date.now(), refusals: 0, probing: false };
    this.#nodes.set(id, node);
    this.#with.came(node);
    return node;
  }

  /** Registers a node in the place of what was at its address. Throws usage.invalid and others; limit.exceeded. */
  register(given: NodeGiven, check: (registration: Registration) => void, by: By = {}): Promise<Node> {
    return this.#change(async () => {
      const registration = checkNode(given, given.instance ?? randomUUID(), Date.now());
      check(registration);
      const { node, version, url, instance } = registration;
      const others = this.of(node);
      const same = others.find((one) => isSame(one.registration, registration));
      if (same !== undefined) {
        this.#heard(same);
        return same;
      }
      const replaced = others.filter(
        (one) =>
          one.registration.instance === instance ||
          one.registration.url === url ||
          (one.registration.version === version && one.state === "down"),
      );
      if (this.#nodes.size - replaced.length >= limits.nodesMax) {
        throw new StemmaError("limit.exceeded", `Expected at most ${limits.nodesMax} nodes, got one more.`);
      }
      const id = newRunId(Date.now());
      await this.#kept.keep({
        id,
        kind: nodeRecord,
        value: registration,
        note: { node, version, url },
        at: Date.now(),
        ...(by.by === undefined ? {} : { by: by.by }),
      });
      const added = this.#nodes.get(id) ?? this.#add(id, registration);
      for (const one of replaced) await this.#giveUp(one, "another process took its place", by);
      return added;
    });
  }

  /** Those that are meant: of a node, and of one process or version where it is said. */
  which(node: string, { instance, version }: { instance?: string; version?: string }): readonly Node[] {
    return this.of(node).filter(
      ({ registration }) =>
        (instance === undefined || registration.instance === instance) &&
        (version === undefined || registration.version === version),
    );
  }

  heard(node: Node): void {
    this.#heard(node);
  }

  leave(nodes: readonly Node[], by: By = {}): Promise<void> {
    return this.#change(async () => {
      for (const node of nodes) await this.#giveUp(node, "it left", by);
    });
  }

  async #giveUp(node: Node, why: string, by: By): Promise<void> {
    await this.#kept.giveUp(node.id, by);
    if (!this.#nodes.delete(node.id)) return;
    this.#with.went(node, why);
  }

  #change<T>(call: () => Promise<T>): Promise<T> {
    const done = this.#changing.then(call);
    this.#changing = done.catch(() => {});
    return done;
  }

  // ---- whether they are alive ----------------------------------------------------------------------------------

  /** Looks after them until `stop`. */
  start(): void {
    this.#timer ??= setInterval(() => this.#tick(), tickMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    const now = Date.now();
    for (const node of this.#nodes.values()) {
      const { leaseMs } = node.registration;
      const silentMs = now - node.heardAt;
      if (node.state === "down" && silentMs > forgottenMs) {
        void this.leave([node]).catch((error: unknown) => this.#trouble(node, error));
      } else if (silentMs > (node.state === "down" ? leaseMs * 2 : leaseMs / 2)) this.look(node);
    }
  }

  #trouble({ registration: { node } }: Node, error: unknown): void {
    this.#with.log.warn("A node that is gone could not be given up; it is tried again", { node, error: String(error) });
  }

  /** Asks a node whether it is there. */
  look(node: Node): void {
    if (node.probing) return;
    node.probing = true;
    const askedAt = Date.now();
    void this.#with
      .probe(node.registration)
      .then((found) => {
        // Its record may be gone by now, or it may have said something meanwhile.
        if (this.#nodes.get(node.id) !== node || node.heardAt > askedAt) return;
        if (found === "there") return this.#heard(node);
        node.refusals = found === "refused" ? node.refusals + 1 : 0;
        const silentMs = Date.now() - node.heardAt;
        const gone = found === "another" || node.refusals >= refusalsMax || silentMs > node.registration.leaseMs;
        if (gone) this.#down(node, found === "another" ? "another process has its address" : "it does not answer");
        else if (node.state === "up") node.state = "silent";
      })
      .finally(() => setTimeout(() => (node.probing = false), node.registration.leaseMs / 8).unref());
  }

  #heard(node: Node): void {
    node.heardAt = Date.now();
    node.refusals = 0;
    const wasDown = node.state === "down";
    node.state = "up";
    if (wasDown) this.#with.came(node);
  }

  #down(node: Node, why: string): void {
    if (node.state === "down") return;
    node.state = "down";
    const { node: name, version, url } = node.registration;
    this.#with.log.warn("A node is gone; what it had in hand is given out anew", { node: name, version, url, why });
    this.#with.went(node, why);
  }
}

function isSame(one: Registration, other: Registration): boolean {
  return JSON.stringify({ ...one, at: 0 }) === JSON.stringify({ ...other, at: 0 });
}

function placeOf({ registration: { node, version, url } }: Node): string {
  return `${node}\n${version}\n${url}`;
}
