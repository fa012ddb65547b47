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
  readonly #all = new Map<string, Plugin<C>>();
  /** Those that are not installed. */
  readonly #waiting: Plugin<C>[] = [];
  #before: Promise<void> = Promise.resolve();

  /** Throws usage.invalid for a second one of the same name. */
  add(plugin: Plugin<C>): void {
    if (this.#all.has(plugin.name)) {
      throw new StemmaError("usage.invalid", message("PLUGIN_DUPLICATE", plugin.name), {
        data: { plugin: plugin.name },
      });
    }
    this.#all.set(plugin.name, plugin);
    this.#waiting.push(plugin);
  }

  list(): Plugin<C>[] {
    return [...this.#all.values()];
  }

  /** Installs those that are not installed, in order, and waits for all together. One that failed is tried next time. */
  install(context: PluginContext<C>): Promise<void> {
    // A run that starts while those are installed that another one asked for waits for them, too.
    const installed = this.#before.then(() => this.#installWaiting(context));
    this.#before = installed.catch(() => {});
    return installed;
  }

  async #installWaiting(context: PluginContext<C>): Promise<void> {
    const failures: unknown[] = [];
    const installing: Promise<void>[] = [];
    for (const plugin of this.#waiting.splice(0)) {
      const failed = (error: unknown): void => {
        this.#waiting.push(plugin);
        failures.push(error);
      };
      try {
        const installed = plugin.install(context);
        if (installed !== undefined) installing.push(Promise.resolve(installed).catch(failed));
      } catch (error) {
        failed(error);
      }
    }
    if (installing.length > 0) await Promise.all(installing);
    if (failures.length > 0) throw failures[0] as Error;
  }
}
