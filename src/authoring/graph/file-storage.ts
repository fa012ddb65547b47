/**
 * Checkpoints in a folder: a small file for each, and the pieces that they share. A file appears whole or not at all: it
 * is written under another name, flushed to the disk, and renamed.
 */
import { mkdir, open, readFile, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { StemmaError } from "../../core/error.ts";
import type { Digest } from "../../core/event.ts";
import { parse } from "../../core/json.ts";
import type { CheckpointID, CheckpointStorage } from "./checkpoint.ts";
import type { Header } from "./storage.ts";
import { storageOn } from "./storage.ts";

/** An id becomes the name of a file, so it is nothing but letters, digits, `_` and `-`. */
const idShape = /^[\w-]{1,100}$/u;

/** A piece is named by its digest, and a file that somebody wrote here may say anything. */
const digestShape = /^[\da-f]{64}$/u;

/** A piece that nothing names goes when nobody has used it for so long: another process may be about to name it. */
const heldMs = 600_000;

/**
 * Keeps checkpoints in a folder, which is made with the first. Any number of processes may use it at once. What a deleted
 * one took on the disk is given back with a later delete, ten minutes on.
 *
 * @example const result = await graph.run("hello", { checkpointStorage: fileCheckpoints("./checkpoints") });
 */
export function fileCheckpoints(folder: string): CheckpointStorage {
  const pieces = join(folder, "pieces");
  const fileOf = (id: string): string => {
    if (idShape.test(id)) return join(folder, `${id}.json`);
    throw new StemmaError("usage.invalid", `Invalid checkpoint ID: ${JSON.stringify(id)}.`);
  };
  const header = async (id: CheckpointID): Promise<Header | undefined> => {
    const text = await readIfThere(fileOf(id));
    if (text === undefined) return undefined;
    const found = parse(text, `checkpoint ${id}`) as unknown as Partial<Header> | null;
    if (found?.id === id && typeof found.root === "string" && typeof found.bytes === "number") return found as Header;
    throw new TypeError("its file is not that of a checkpoint");
  };
  return storageOn({
    async headers() {
      const names = await readdir(folder).catch(() => []);
      const ids = names.filter((name) => name.endsWith(".json")).map((name) => name.slice(0, -5) as CheckpointID);
      const read = ids.map((id) => header(id).catch((error: unknown) => ({ id, error })));
      return (await Promise.all(read)).filter((found) => found !== undefined);
    },
    header,
    async put(added, texts) {
      await mkdir(pieces, { recursive: true });
      for (const { digest, text } of texts) await writeWhole(join(pieces, digest), text);
      await writeWhole(fileOf(added.id), JSON.stringify(added));
    },
    piece: async (digest) => (digestShape.test(digest) ? readIfThere(join(pieces, digest)) : undefined),
    hold: (digest) =>
      utimes(join(pieces, digest), new Date(), new Date()).then(
        () => true,
        () => false,
      ),
    remove: (id) =>
      rm(fileOf(id)).then(
        () => true,
        () => false,
      ),
    async keepOnly(digests: ReadonlySet<Digest>) {
      for (const name of await readdir(pieces)) {
        const piece = join(pieces, name);
        if (!digests.has(name) && (await ageMs(piece)) > heldMs) await rm(piece, { force: true });
      }
    },
  });
}

/** Milliseconds since somebody put it there or held it; none if it has gone. */
async function ageMs(file: string): Promise<number> {
  return stat(file).then(
    ({ mtimeMs }) => Date.now() - mtimeMs,
    () => 0,
  );
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return undefined;
    throw error;
  }
}

let files = 0;

async function writeWhole(file: string, text: string): Promise<void> {
  const temporary = `${file}.${process.pid}.${(files += 1)}.tmp`;
  const handle = await open(temporary, "w");
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
}
