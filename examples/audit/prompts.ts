/**
 * What the paid service is asked about a package, by the family of the licence that it declares. The prompt is a part of
 * what the step of a package declares as its input, so another prompt for one family is another input for the packages
 * of that family, and for no others.
 */
import { declaredLicences } from "./classify.ts";
import { listPackages, readPackage } from "./packages.ts";
import type { InstalledPackage } from "./packages.ts";

/** A package with its family: `MIT`, `BSD`, `Apache` … `none` where it declares no licence. */
export type ListedPackage = InstalledPackage & { family: string };

/** What is asked, by family; `default` where a family is not named. */
export type Prompts = Readonly<Record<string, string>>;

export const firstPrompts: Prompts = {
  default: "Which licence is this text? Where it says nothing, believe what the package declares.",
};
/** Stricter: for this the service looks at nothing but texts. */
export const textOnlyPrompt = "Which licence is this text? Believe the text only, whatever the package declares.";

export async function listFamilies(dir: string): Promise<ListedPackage[]> {
  const listed: ListedPackage[] = [];
  for (const one of await listPackages(dir)) {
    const { licenceField } = await readPackage(dir, one.path);
    listed.push({ ...one, family: familyOf(licenceField) });
  }
  return listed;
}

/** What the first licence that is declared is called, without its version and variant. */
export function familyOf(licenceField: string | null): string {
  const [first] = declaredLicences(licenceField).ids;
  return /^0?[A-Za-z]+/.exec(first ?? "")?.[0].replace(/^0/, "") ?? "none";
}

export function promptFor(family: string, prompts: Prompts): string {
  const own = Object.hasOwn(prompts, family) ? prompts[family] : undefined;
  return own ?? prompts["default"] ?? firstPrompts["default"] ?? "";
}

/** The largest family but the very largest: enough packages to see that they are asked about again, and only they. */
export function secondFamily(packages: readonly ListedPackage[]): string {
  const counts = new Map<string, number>();
  for (const { family } of packages) counts.set(family, (counts.get(family) ?? 0) + 1);
  const ordered = [...counts].toSorted(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  return (ordered[1] ?? ordered[0])?.[0] ?? "none";
}
