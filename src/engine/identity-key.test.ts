import fc from "fast-check";
import { expect, test } from "vitest";
import { identityText, kindText } from "../core/identity.ts";
import { sha256 } from "./hash.ts";
import { identityKey, kindKey } from "./identity-key.ts";

const identity = fc.record({
  scope: fc.constantFrom("", "a", "a/b", "a/b#2", "größe/😀", "x".repeat(5000)),
  name: fc.constantFrom("a", "b", "ä", "Ã¤", "😀"),
  input: fc.constantFrom(null, sha256("1"), sha256("2"), "no digest"),
  n: fc.constantFrom(0, 1, 2, 12),
});

test("two identities have the same key exactly if they have the same text", () => {
  fc.assert(
    fc.property(identity, identity, (one, other) => {
      expect(identityKey(one) === identityKey(other)).toBe(identityText(one) === identityText(other));
      const [a, b] = [one.input ?? "", other.input ?? ""];
      const same = kindText(one.scope, one.name, a) === kindText(other.scope, other.name, b);
      expect(kindKey(one.scope, one.name, a) === kindKey(other.scope, other.name, b)).toBe(same);
    }),
    { numRuns: 5000 },
  );
});

test("a key with a digest is shorter than its text", () => {
  const one = { scope: "items/3", name: "resize", input: sha256("1"), n: 0 };
  expect(identityKey(one).length).toBe(identityText(one).length - 32);
});
