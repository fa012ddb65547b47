/**
 * Any text that is well formed. `fc.string({ unit: "binary" })` and the parts of addresses that fast-check has mean the same,
 * but take seconds to prepare for all of Unicode, in every process again.
 */
import fc from "fast-check";

/** Any code point but halves of surrogate pairs. */
export const anyCharacter: fc.Arbitrary<string> = fc
  .oneof(fc.integer({ min: 0, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }))
  .map((code) => String.fromCodePoint(code));

export const anyText: fc.Arbitrary<string> = fc.string({ unit: anyCharacter });
