/**
 * The input of the audit: what is installed in a directory such as `node_modules`, and the texts of one package.
 * Everything is read as strangers wrote it: files may be missing, broken or huge, and links may lead anywhere. Nothing
 * outside the given directory is ever read, and all texts have a bound.
 */
import { open, readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, relative, sep } from "node:path";

export type InstalledPackage = {
  name: string;
  version: string;
  /** Where it is, relative to the listed directory, with `/` on every system. */
  path: string;
};

export type PackageTexts = InstalledPackage & {
  description: string | null;
  /** The `license` field as one text; the old `licenses` list becomes `A OR B`. */
  licenceField: string | null;
  /** All licence files, one after the other. */
  licenceText: string;
  licenceFiles: string[];
  readme: string;
};

const packagesMax = 100_000;
const manifestBytesMax = 1024 * 1024;
const fieldCharsMax = 1000;
/** Both together stay far below the 1 MiB that the paid service takes, even if every character is escaped. */
const readmeBytesMax = 32 * 1024;
const licenceBytesMax = 64 * 1024;
const licenceFilesMax = 8;

/**
 * All packages below `dir`, scopes and nested `node_modules` included, sorted by path. Links are followed if they lead
 * to a place within `dir`, each real place is listed once: so a tree of links, as pnpm makes it, is listed in full.
 */
export async function listPackages(dir: string): Promise<InstalledPackage[]> {
  const root = await realRoot(dir);
  const found = new Map<string, InstalledPackage>();
  const folders = new Set([root]);
  for (const folder of folders) {
    for (const place of await packagePlaces(root, folder)) {
      const path = relative(root, place).split(sep).join("/");
      if (found.has(path)) continue;
      const manifest = await readManifest(root, place);
      if (manifest === undefined) continue;
      if (found.size === packagesMax) throw new Error(`more than ${packagesMax} packages in ${dir}: list a part of it`);
      found.set(path, { ...nameAndVersion(manifest, path), path });
      folders.add(join(place, "node_modules"));
      const home = homeOf(place);
      if (home !== undefined) folders.add(home);
    }
  }
  return [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The `node_modules` folder that a place is in: behind a link, the dependencies of a package are beside it. */
function homeOf(place: string): string | undefined {
  const parent = dirname(place);
  const home = basename(parent).startsWith("@") ? dirname(parent) : parent;
  return basename(home) === "node_modules" ? home : undefined;
}

/** The texts of one listed package. Missing files are empty texts, a broken `package.json` is one without fields. */
export async function readPackage(dir: string, path: string): Promise<PackageTexts> {
  const root = await realRoot(dir);
  const place = await inside(root, join(root, path));
  if (place === undefined) throw new Error(`no package at ${path} in ${dir}, or it leads out of that directory`);

  const manifest = (await readManifest(root, place)) ?? {};
  const names = (await readdir(place)).sort();
  const licenceFiles = names.filter((name) => /^(un)?licen[cs]e|^copying/i.test(name)).slice(0, licenceFilesMax);
  const licenceTexts: string[] = [];
  for (const name of licenceFiles) licenceTexts.push(await readText(root, join(place, name), licenceBytesMax));
  const readmeName = names.find((name) => /^readme(\.(md|markdown|txt|rst))?$/i.test(name));

  return {
    ...nameAndVersion(manifest, path),
    path,
    description: textField(manifest["description"]),
    licenceField: licenceField(manifest),
    licenceText: cut(licenceTexts.filter((text) => text !== "").join("\n\n"), licenceBytesMax),
    licenceFiles,
    readme: readmeName === undefined ? "" : await readText(root, join(place, readmeName), readmeBytesMax),
  };
}

async function realRoot(dir: string): Promise<string> {
  try {
    return await realpath(dir);
  } catch (cause) {
    throw new Error(`expected a directory of installed packages, but cannot open ${dir}`, { cause });
  }
}

/** The real path of `file` if it lies within `root`, also after all links; otherwise undefined. */
async function inside(root: string, file: string): Promise<string | undefined> {
  const real = await realpath(file).catch(() => undefined);
  return real !== undefined && real.startsWith(root + sep) ? real : undefined;
}

/** Real paths of the folders in `folder` that may be packages; a scope counts for what is in it. */
async function packagePlaces(root: string, folder: string): Promise<string[]> {
  const places: string[] = [];
  for (const place of await foldersIn(root, folder)) {
    if (place.name.startsWith("@")) places.push(...(await foldersIn(root, place.real)).map((scoped) => scoped.real));
    else places.push(place.real);
  }
  return places;
}

async function foldersIn(root: string, folder: string): Promise<{ name: string; real: string }[]> {
  const listed = folder === root ? root : await inside(root, folder);
  if (listed === undefined) return [];
  const entries = await readdir(listed, { withFileTypes: true }).catch(noEntries);
  const folders: { name: string; real: string }[] = [];
  for (const entry of entries) {
    if (entry.name.startsWith(".") || !(entry.isDirectory() || entry.isSymbolicLink())) continue;
    const real = await inside(root, join(listed, entry.name));
    if (real !== undefined) folders.push({ name: entry.name, real });
  }
  return folders;
}

/** Most packages have no nested `node_modules`, and a link may lead to a file: both are no folder to list. */
function noEntries(error: NodeJS.ErrnoException): [] {
  if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
  throw error;
}

/** The fields of `package.json`; none if it is not an object; undefined if there is no such file: not a package. */
async function readManifest(root: string, place: string): Promise<Record<string, unknown> | undefined> {
  const file = await inside(root, join(place, "package.json"));
  if (file === undefined) return undefined;
  const text = await readText(root, file, manifestBytesMax);
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
  } catch {
    return {};
  }
}

function nameAndVersion(manifest: Record<string, unknown>, path: string): { name: string; version: string } {
  const fallback = path.split("node_modules/").at(-1) ?? path;
  return { name: textField(manifest["name"]) ?? fallback, version: textField(manifest["version"]) ?? "unknown" };
}

function textField(value: unknown): string | null {
  return typeof value === "string" && value.trim() !== "" ? cut(value.trim(), fieldCharsMax) : null;
}

/** `"MIT"`, and the forms of long ago: `{ type }`, and `licenses: [{ type }, …]`. */
function licenceField(manifest: Record<string, unknown>): string | null {
  const value = manifest["license"] ?? manifest["licence"] ?? manifest["licenses"];
  const parts = (Array.isArray(value) ? value : [value])
    .map((part: unknown) => (isObject(part) ? textField(part["type"]) : textField(part)))
    .filter((part) => part !== null);
  return parts.length === 0 ? null : cut(parts.join(" OR "), fieldCharsMax);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** The beginning of a file as text, at most `bytesMax` of it; empty if it is missing, no file, or outside `root`. */
async function readText(root: string, path: string, bytesMax: number): Promise<string> {
  const real = await inside(root, path);
  if (real === undefined) return "";
  const stats = await stat(real);
  // A pipe of this name would keep the reader waiting for ever.
  if (!stats.isFile()) return "";
  await using file = await open(real, "r");
  const bytes = Buffer.alloc(Math.min(stats.size, bytesMax));
  let length = 0;
  while (length < bytes.length) {
    const { bytesRead } = await file.read(bytes, length, bytes.length - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return decode(bytes.subarray(0, length));
}

/** UTF-8 as far as it is one; a character that the bound has cut in two is left out. */
function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes, { stream: true });
}

/** Well-formed in any case: JSON files can hold halves of characters, which no store and no wire takes. */
function cut(text: string, charsMax: number): string {
  return text.slice(0, charsMax).toWellFormed();
}
