/** Parts that other parts are made of, for who has put them together by hand. `TaskRunner` has its own. */
import { delay } from "./delay.ts";
import type { Plugin, PluginContext } from "./plugin.ts";
import { Plugins } from "./plugin.ts";
import { Ranking } from "./ready.ts";

/** What may be wrong with a graph: the `type` of a `GraphProblem`. */
export const ERROR_DUPLICATE_TASK = "duplicate_task";
export const ERROR_MISSING_DEPENDENCY = "missing_dependency";
export const ERROR_CYCLE = "cycle";

/** Plugins, and where they are installed. */
export class PluginManager<C = unknown> {
  readonly #context: PluginContext<C>;
  readonly #plugins = new Plugins<C>();

  constructor(context: PluginContext<C>) {
    this.#context = context;
  }

  /** Throws usage.invalid for a second one of the same name. */
  use(plugin: Plugin<C>): void {
    this.#plugins.add(plugin);
  }

  /** Installs those that are not installed yet, and waits for all together. Rejects with what one of them threw. */
  initialize(): Promise<void> {
    return this.#plugins.install(this.#context);
  }

  getPlugins(): Plugin<C>[] {
    return this.#plugins.list();
  }
}

/** Things in the order of their priorities, the highest first; of equals, the one that came first. */
export class PriorityQueue<T> {
  #items = new Map<number, { item: T; priority: number }>();
  #ranking = new Ranking((at) => this.#items.get(at)?.priority ?? 0);
  #came = 0;

  push(item: T, priority: number): void {
    this.#items.set(this.#came, { item, priority });
    this.#ranking.push(this.#came++);
  }

  /** The next one, which stays. */
  peek(): T | undefined {
    return this.#items.get(this.#ranking.peek())?.item;
  }

  /** The next one, which is taken out. */
  pop(): T | undefined {
    const at = this.#ranking.take();
    const item = this.#items.get(at)?.item;
    this.#items.delete(at);
    return item;
  }

  size(): number {
    return this.#ranking.size;
  }

  isEmpty(): boolean {
    return this.#ranking.size === 0;
  }

  clear(): void {
    this.#ranking.clear();
    this.#items.clear();
  }
}

/** Waits for so many milliseconds; not at all for 0 or less. Rejects with an AbortError if the signal is aborted before. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (ms > 0 && (await delay(ms, signal))) throw new DOMException("AbortError", "AbortError");
}
