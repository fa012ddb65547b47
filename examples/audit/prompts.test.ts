import { describe, expect, test } from "vitest";
import { classify } from "./classify.ts";
import type { ListedPackage } from "./prompts.ts";
import { familyOf, promptFor, secondFamily, textOnlyPrompt } from "./prompts.ts";
import type { Finding } from "./report.ts";
import { summarise } from "./report.ts";
import { summariseAtFirst } from "./summary-bug.ts";

const listed = (families: string[]): ListedPackage[] =>
  families.map((family, n) => ({ name: `p${n}`, version: "1", path: `p${n}`, family }));

describe("a family of licences", () => {
  test("is what the first licence that is declared is called, without version and variant", () => {
    expect(
      ["MIT", "MIT-0", "BSD-3-Clause", "0BSD", "(Apache-2.0 OR MIT)", "SEE LICENSE IN x", null].map(familyOf),
    ).toEqual(["MIT", "MIT", "BSD", "BSD", "Apache", "none", "none"]);
  });

  test("has its own prompt, or that of all", () => {
    expect(promptFor("ISC", { default: "a", ISC: "b" })).toBe("b");
    expect(promptFor("MIT", { default: "a", ISC: "b" })).toBe("a");
    expect(promptFor("constructor", { default: "a" })).toBe("a");
  });

  test("is chosen that is large, and not the largest", () => {
    expect(secondFamily(listed(["MIT", "MIT", "MIT", "ISC", "ISC", "BSD"]))).toBe("ISC");
    expect(secondFamily(listed(["MIT", "B", "A"]))).toBe("B");
    expect(secondFamily(listed(["MIT"]))).toBe("MIT");
  });
});

test("who is asked for texts only does not believe what is declared", () => {
  const subject = { name: "p", version: "1", licenceField: "MIT", licenceText: "", readme: "" };
  expect(classify(subject)).toMatchObject({ licence: "MIT", confidence: 0.5 });
  expect(classify({ ...subject, prompt: textOnlyPrompt })).toMatchObject({ licence: "unknown", confidence: 0 });
});

test("the summary as it was first written fails on any package, and the one of today does not", () => {
  const facts = { hasReadme: true, readmeWords: 1, hasInstallSection: true, hasExample: true, copyrightHolders: [] };
  const found = { licence: "MIT", confidence: 1, conflict: false, bundled: [], facts };
  const finding: Finding = { name: "p", version: "1", path: "p", declared: "MIT", ...found };
  expect(() => summariseAtFirst([finding])).toThrow(TypeError);
  expect(summarise([finding]).byLicence).toEqual([{ licence: "MIT", packages: 1 }]);
});
