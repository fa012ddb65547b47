/** A fault on purpose: at a checkpoint, all that the body had been given before is forgotten, and the state with it. */
import { Prefix } from "../../src/engine/prefix.ts";

/** Plants it in this process; gives what takes it out again. */
export function forgetAtCheckpoints(): () => void {
  const right = Object.getOwnPropertyDescriptors(Prefix.prototype);
  const instead = new WeakMap<object, Prefix>();
  const { given, said, checkpoint } = Prefix.prototype;
  const current = right.current.get as (this: Prefix) => string;
  const of = (prefix: Prefix): Prefix => instead.get(prefix) ?? prefix;
  Object.defineProperties(Prefix.prototype, {
    current: {
      configurable: true,
      get(this: Prefix) {
        return current.call(of(this));
      },
    },
    given: {
      configurable: true,
      value(this: Prefix, ...args: Parameters<typeof given>) {
        given.apply(of(this), args);
      },
    },
    said: {
      configurable: true,
      value(this: Prefix, ...args: Parameters<typeof said>) {
        said.apply(of(this), args);
      },
    },
    checkpoint: {
      configurable: true,
      value(this: Prefix) {
        const created = { data: { seed: "", input: { undefined: true } } };
        const fresh = new Prefix({ created, start: created } as never);
        instead.set(this, fresh);
        return checkpoint.call(fresh, { undefined: true });
      },
    },
  });
  return () => void Object.defineProperties(Prefix.prototype, right);
}
