/** Plugins: they are installed once, before the first run, and listen. */
import { StemmaError } from "../../core/error.ts";
import type { EventBus } from "./events.ts";
import { message } from "./messages.ts";

/** What a plugin is given. */
export type PluginContext<C = unknown> = { events: EventBus<C> };

export type Plugin<C = unknown> = {
  name: string;
  version: string;
  // A method, so that a plugin for runs of any context fits all.
  // oxlint-disable-next-line typescript/method-signature-style
  install(context: PluginContext<C>): void | Promise<void>;
};

export class Plugins<C> {
  readonly #waiting = new Map<string, Plugin<C>>();
  readonly #names = new Set<string>();

  /** Throws usage.invalid for a second one of the same name. */
  add(plugin: Plugin<C>): void {
    if (this.#names.has(plugin.name)) {
      throw new StemmaError("usage.invalid", message("pluginDuplicate", plugin.name), {
        data: { plugin: plugin.name },
      });
    }
    this.#names.add(plugin.name);
    this.#waiting.set(plugin.name, plugin);
  }

  /** Installs those that are not installed, in order, and waits for all together. One that failed is tried next time. */
  async install(context: PluginContext<C>): Promise<void> {
    if (this.#waiting.size === 0) return;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    const installed = await Promise.allSettled(waiting.map(async (plugin) => plugin.install(context)));
    for (const [i, { status }] of installed.entries()) {
      const plugin = waiting[i] as Plugin<C>;
      if (status === "rejected") this.#waiting.set(plugin.name, plugin);
    }
    const failed = installed.find((one) => one.status === "rejected");
    if (failed !== undefined) throw failed.reason as Error;
  }
}
