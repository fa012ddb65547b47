/**
 * The context as an attempt with a limit of time sees it. When the time is over the fence goes up: whatever the attempt
 * still does with the context is refused, so that it cannot write into what the next attempt does. What it took out of
 * the context before is its own: a fence around everything in it would give tasks objects that are equal to nothing.
 */
import { StemmaError } from "../../core/error.ts";

export class Fence {
  #up = false;
  readonly #task: string;

  constructor(task: string) {
    this.#task = task;
  }

  /** The context behind this fence; what is no object cannot be written to, and needs none. */
  around<C>(context: C): C {
    if (typeof context !== "object" || context === null) return context;
    return new Proxy(context, this) as C;
  }

  raise(): void {
    this.#up = true;
  }

  get(context: object, key: PropertyKey): unknown {
    this.#check();
    const value: unknown = Reflect.get(context, key);
    // Methods of a class may use private fields, which only the object itself has.
    if (typeof value === "function" && !Object.hasOwn(context, key) && !isPlain(context)) return value.bind(context);
    return value;
  }

  set(context: object, key: PropertyKey, value: unknown): boolean {
    this.#check();
    return Reflect.set(context, key, value);
  }

  deleteProperty(context: object, key: PropertyKey): boolean {
    this.#check();
    return Reflect.deleteProperty(context, key);
  }

  defineProperty(context: object, key: PropertyKey, property: PropertyDescriptor): boolean {
    this.#check();
    return Reflect.defineProperty(context, key, property);
  }

  setPrototypeOf(context: object, prototype: object | null): boolean {
    this.#check();
    return Reflect.setPrototypeOf(context, prototype);
  }

  #check(): void {
    if (!this.#up) return;
    throw new StemmaError(
      "step.timed_out",
      `The attempt of task ${this.#task} timed out, and cannot use the context any more. Stop when the signal is aborted.`,
      { data: { task: this.#task } },
    );
  }
}

function isPlain(context: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(context);
  return prototype === Object.prototype || prototype === null || Array.isArray(context);
}
