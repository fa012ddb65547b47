/**
 * Webhooks of a store: who is told of what, and that they are told. While it works, it follows the feed and carries out
 * deliveries, with an engine of its own, so that slow receivers take no place from the runs of users, and a server that
 * works on no runs delivers too. Several servers on one store share the work.
 */
import type { Duration } from "../../core/duration.ts";
import { milliseconds } from "../../core/duration.ts";
import { StemmaError, isStemmaError } from "../../core/error.ts";
import type { Event, RunId } from "../../core/event.ts";
import { canonical } from "../../core/json.ts";
import { limits } from "../../core/limits.ts";
import { checkId } from "../../core/name.ts";
import { webhookRecords } from "./records.ts";
import type { Log } from "../../engine/body.ts";
import { sha256 } from "../../engine/hash.ts";
import { checkRunId } from "../../engine/id.ts";
import type { By, Once } from "../../engine/requests.ts";
import { Stemma } from "../../engine/stemma.ts";
import type { RunRow, Store } from "../../store/store.ts";
import type { DeliveryInput, DeliveryWorkflow } from "./delivery.ts";
import { deliveryWorkflow } from "./delivery.ts";
import type { Delivery } from "./delivery-log.ts";
import { aboutTag, readDeliveries, readDelivery, toTag } from "./delivery-log.ts";
import { Follower } from "./follower.ts";
import type { Guard, Resolve } from "./guard.ts";
import { guardOf } from "./guard.ts";
import type { Hooks } from "./hooks.ts";
import { hookOf, hooksIn, isSame } from "./hooks.ts";
import { messageId, messageOf } from "./message.ts";
import { newSecret } from "./signature.ts";
import type { Vault } from "./vault.ts";
import { vaultOf } from "./vault.ts";
import type { RunWebhook, Webhook, WebhookWish } from "./wish.ts";
import { checkRunWish, checkWish } from "./wish.ts";

export type WebhookOptions = {
  /** Ranges that may be reached besides the public internet: "10.1.0.0/16", "127.0.0.1", "fd00::/8". Default none. */
  allow?: readonly string[];
  /**
   * Delays before the second attempt, the third, and so on. Default 5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 24h: ten attempts
   * in three days.
   */
  retries?: readonly Duration[];
  /** How long one request may take. Default "15s". */
  timeout?: Duration;
  /** What secrets are sealed with in the store, at least 16 characters. Every server on the store needs it. Default: not. */
  key?: string;
  /** How many requests are under way at a time. Default 50. */
  concurrency?: number;
};

/** What a test can put in the place of its own. */
export type WebhookSeams = { resolve: Resolve; lease: Duration };

/** A webhook that was just made. Its secret is shown here and never again. */
export type NewWebhook = Webhook & { secret: string };

const retriesDefault: readonly Duration[] = ["5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "24h"];
const retriesMax = 50;
const deliveriesDefault = 20;
const deliveriesMax = 50;
const stopMs = 5000;

export class Webhooks {
  readonly #store: Store;
  readonly #log: Log;
  readonly #guard: Guard;
  readonly #vault: Vault;
  readonly #hooks: Hooks;
  readonly #delays: number[];
  readonly #delivery: DeliveryWorkflow;
  readonly #engine: Stemma;
  readonly #follower: Follower;
  #working: Promise<unknown> | undefined;
  #stopping: Promise<void> | undefined;

  /** @throws usage.invalid, duration.invalid for options that make no sense */
  constructor(store: Store, log: Log, options: WebhookOptions = {}, seams: Partial<WebhookSeams> = {}) {
    const { allow = [], retries = retriesDefault, timeout = "15s", key, concurrency = 50 } = options;
    if (retries.length > retriesMax) {
      throw new StemmaError("usage.invalid", `Expected at most ${retriesMax} retries, got ${retries.length}.`);
    }
    const { resolve, lease } = seams;
    this.#store = store;
    this.#log = log;
    this.#guard = guardOf({ allow, ...(resolve === undefined ? {} : { resolve }) });
    this.#vault = vaultOf(store, key);
    this.#hooks = hooksIn(store, this.#vault);
    this.#delays = retries.map((delay) => milliseconds(delay, "delay before a retry of a webhook"));
    this.#delivery = deliveryWorkflow({
      guard: this.#guard,
      sealed: async (hook) => ((await this.#hooks.read(hook)) === undefined ? undefined : this.#vault.take(hook)),
      timeoutMs: milliseconds(timeout, "timeout of webhooks"),
    });
    const own = { store, log, workflows: [this.#delivery], concurrency };
    this.#engine = new Stemma({ ...own, ...(lease === undefined ? {} : { lease }) });
    this.#follower = new Follower({
      store,
      hooks: this.#hooks,
      log,
      deliver: (hook, row, event) => this.#deliver(hook, row, event),
      awake: () => this.#awake(),
    });
  }

  /** Begins to follow the feed and to deliver. Again is the same as once. */
  start(): void {
    if (this.#stopping === undefined) this.#follower.start();
  }

  /** Requests that are under way may end within five seconds; what is not delivered then goes on where this goes on. */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#follower.stop().then(async () => {
      await this.#working?.catch(() => {});
      await this.#engine.stop({ timeout: stopMs });
    }));
  }

  /**
   * Makes a webhook. It hears of what happens from now on. With the key of one that was made so already it is that one, and
   * its secret, whoever asks.
   *
   * @throws run.conflict for the key of one that was meant otherwise, webhook.not_found for that of one that was removed;
   * webhook.invalid; webhook.refused for an address that is not of the public internet; name.invalid; limit.exceeded
   */
  async create(wish: WebhookWish, { idempotencyKey }: Once = {}): Promise<NewWebhook> {
    const key = idempotencyKey === undefined ? undefined : checkId(idempotencyKey, "idempotencyKey");
    const secret = wish.secret ?? newSecret();
    const { filter, sealed } = checkWish(this.#guard, { ...wish, secret });
    if (key === undefined || !(await this.#hooks.wasMade(key))) await this.#checkNew(new URL(sealed.url));
    const hook = await this.#hooks.create(filter, sealed, key);
    this.#follower.poke();
    if (key === undefined) return { ...hook, secret };
    const kept = isSame(hook, filter) ? await this.#vault.take(hook.id) : undefined;
    const first = kept?.secret ?? secret;
    if (kept !== undefined && canonical(kept) === canonical({ ...sealed, secret: wish.secret ?? first }))
      return { ...hook, secret: first };
    const message = `Expected the webhook that was made with this idempotency key, ${hook.id}, to be the same; it is another one. Use another key.`;
    throw new StemmaError("run.conflict", message, { data: { webhook: hook.id } });
  }

  /** What can be refused of a run's webhook before there is the run. Throws webhook.invalid, webhook.refused. */
  check(wish: RunWebhook): void {
    checkRunWish(this.#guard, `run_${"0".repeat(26)}`, wish);
  }

  /**
   * Gives a run its own webhook, which hears of all that happens to it, also of what has happened already. A run has one;
   * what is given again changes nothing, so it may be repeated. One that a run comes from has its own, or none.
   *
   * @throws webhook.invalid, webhook.refused
   * @example
   * webhooks.check(webhook); // before there is a run
   * const run = await stemma.run(audit, input);
   * await webhooks.attach(run.id, webhook);
   */
  async attach(run: RunId, wish: RunWebhook): Promise<Webhook> {
    const { filter, sealed } = checkRunWish(this.#guard, run, wish);
    const hook = await this.#hooks.attach(run, filter, sealed);
    this.#follower.poke();
    return hook;
  }

  /** The webhook that a run was given, if it was. */
  of(run: RunId): Promise<Webhook | undefined> {
    return this.#hooks.read(hookOf(checkRunId(run)));
  }

  /** Those for many runs. */
  list(): Promise<Webhook[]> {
    return this.#hooks.list();
  }

  /** Removes one with its secret, and takes back what is not delivered. Throws webhook.not_found. */
  async remove(id: RunId, by: By = {}): Promise<void> {
    await this.#expect(id);
    await this.#hooks.remove(id, by);
    this.#follower.poke();
    const open = { workflow: webhookRecords.delivery, tag: toTag(id), limit: limits.pageRunsMax };
    let cursor: string | undefined;
    do {
      const page = await this.#store.list({
        ...open,
        status: ["queued", "running", "suspended"],
        ...(cursor === undefined ? {} : { cursor }),
      });
      for (const row of page.runs) await this.#engine.cancel(row.id, { reason: "the webhook was removed", ...by });
      ({ cursor } = page);
    } while (cursor !== undefined);
  }

  /** Deliveries of a webhook with their attempts, newest first. Throws webhook.not_found. */
  async deliveries(
    id: RunId,
    { cursor, limit = deliveriesDefault }: { cursor?: string; limit?: number } = {},
  ): Promise<{ deliveries: Delivery[]; cursor?: string }> {
    await this.#expect(id);
    return this.#deliveriesOf(toTag(id), cursor, limit);
  }

  /** Deliveries about a run, to whichever webhooks, newest first. */
  deliveriesAbout(
    run: RunId,
    page: { cursor?: string; limit?: number } = {},
  ): Promise<{
    deliveries: Delivery[];
    cursor?: string;
  }> {
    return this.#deliveriesOf(aboutTag(checkRunId(run)), page.cursor, page.limit ?? deliveriesDefault);
  }

  #deliveriesOf(
    tag: string,
    cursor: string | undefined,
    limit: number,
  ): Promise<{ deliveries: Delivery[]; cursor?: string }> {
    const page = { limit: Math.min(limit, deliveriesMax), ...(cursor === undefined ? {} : { cursor }) };
    return readDeliveries(this.#store, tag, page);
  }

  /**
   * Sends the message of a delivery once more, as a delivery of its own, with the same `webhook-id` and body. Throws
   * webhook.not_found where there is no such delivery, or its webhook was removed.
   */
  async redeliver(id: RunId, once: By & Once = {}): Promise<Delivery> {
    const { runs } = await this.#store.list({ ids: [checkRunId(id)] });
    const [row] = runs;
    if (row === undefined || row.state.workflow !== webhookRecords.delivery) throw notFound("delivery", id);
    const { input } = await readDelivery(this.#store, row);
    await this.#expect(input.hook);
    return this.#send({ ...input, delays: this.#delays }, `${id} again`, once);
  }

  /** Sends a message of type `webhook.ping`, to try a webhook out. Throws webhook.not_found. */
  async ping(id: RunId, once: By & Once = {}): Promise<Delivery> {
    const { at } = await this.#expect(id);
    const now = Date.now();
    const message = {
      type: "webhook.ping",
      timestamp: new Date(now).toISOString(),
      data: { webhook: id, since: new Date(at).toISOString() },
    };
    return this.#send({ id: messageId(id, "ping", now), hook: id, message, delays: [] }, `ping ${id}`, once);
  }

  /** @param what is asked for: one key of somebody's stands for one of each */
  async #send(input: DeliveryInput, what: string, { idempotencyKey: given, by }: By & Once): Promise<Delivery> {
    // A key may be as long as keys can be, so what is kept of it is its digest.
    const key = given === undefined ? undefined : `${what} ${sha256(checkId(given, "idempotencyKey"))}`;
    const made = key === undefined ? undefined : await this.#madeWith(key);
    const row =
      made ??
      (await this.#make(input, {
        ...(by === undefined ? {} : { by }),
        ...(key === undefined ? {} : { idempotencyKey: key }),
      }));
    await this.#awake();
    return (await readDelivery(this.#store, row)).delivery;
  }

  async #make(input: DeliveryInput, options: By & Once): Promise<RunRow> {
    const { idempotencyKey: key } = options;
    try {
      return await this.#engine.row(
        (await this.#engine.run(this.#delivery, input, { tags: tagsOf(input), ...options })).id,
      );
    } catch (error) {
      // Somebody made it a moment ago, and what it says is of that moment.
      const made = key === undefined || !isStemmaError(error, "run.conflict") ? undefined : await this.#madeWith(key);
      if (made === undefined) throw error;
      return made;
    }
  }

  async #madeWith(idempotencyKey: string): Promise<RunRow | undefined> {
    const { runs } = await this.#store.list({ workflow: webhookRecords.delivery, idempotencyKey, limit: 1 });
    return runs[0];
  }

  async #deliver(hook: Webhook, row: RunRow, event: Event): Promise<void> {
    const message = await messageOf(this.#store, row, event);
    if (message === undefined) return;
    const [run, { seq }] = [row.id, event];
    const input = { id: messageId(hook.id, run, seq), hook: hook.id, run, seq, message, delays: this.#delays };
    try {
      await this.#engine.run(this.#delivery, input, { idempotencyKey: input.id, tags: tagsOf(input) });
    } catch (error) {
      // It is there, and what it says was put together when the run had other tags, or with other delays.
      if (!isStemmaError(error, "run.conflict")) throw error;
    }
  }

  /** Works on deliveries, from the first on that there may be. */
  async #awake(): Promise<void> {
    if (this.#stopping !== undefined) return;
    try {
      await (this.#working ??= this.#engine.start());
    } catch (error) {
      this.#working = undefined;
      throw error;
    }
  }

  /** Throws limit.exceeded, webhook.refused. */
  async #checkNew(url: URL): Promise<void> {
    await this.#checkName(url);
    if ((await this.#hooks.list()).length < limits.webhooksMax) return;
    throw new StemmaError("limit.exceeded", `There are ${limits.webhooksMax} webhooks already. Remove one.`);
  }

  /** A name that cannot be resolved now may be resolved later. */
  async #checkName(url: URL): Promise<void> {
    try {
      await this.#guard.target(url);
    } catch (error) {
      if (isStemmaError(error)) throw error;
      this.#log.debug("The name of a webhook cannot be resolved", { origin: url.origin, error: String(error) });
    }
  }

  async #expect(id: RunId): Promise<Webhook> {
    const hook = await this.#hooks.read(checkRunId(id));
    if (hook === undefined) throw notFound("webhook", id);
    return hook;
  }
}

function tagsOf({ hook, run }: DeliveryInput): string[] {
  return run === undefined ? [toTag(hook)] : [toTag(hook), aboutTag(run)];
}

function notFound(what: "webhook" | "delivery", id: RunId): StemmaError {
  return new StemmaError("webhook.not_found", `There is no ${what} ${id}, or it was removed.`, { data: { id } });
}
