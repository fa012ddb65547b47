/** Parts of histories that are kept a second time, packed. What is in them is for the engine alone. */
import type { RunId, Seq } from "../../core/event.ts";
import type { Pack } from "../store.ts";
import { addTo, pieces } from "./columns.ts";
import type { Database } from "./database.ts";
import { pageSize } from "./history.ts";
import type { Runner } from "./runner.ts";
import { insertPacks, packsFrom } from "./sql-beside.ts";

type PackColumns = { run: RunId; first: Seq; body: string };

/** In the transaction of a commit, of parts of different runs that went through. Of a pack that is there twice the last counts. */
export async function writePacks(
  tx: Runner,
  parts: readonly { run: RunId; packs?: readonly Pack[] | undefined }[],
): Promise<void> {
  const rows = parts.flatMap(({ run, packs = [] }) =>
    [...new Map(packs.map(({ first, body }) => [first, body]))].map(([first, body]): PackColumns => ({
      run,
      first,
      body: textOf(body),
    })),
  );
  if (rows.length === 0) return;
  for (const some of pieces(rows, ({ body }) => body.length)) {
    const columns: unknown[][] = [[], [], []];
    for (const { run, first, body } of some) addTo(columns, run, first, body);
    await tx.query(insertPacks, columns);
  }
}

function textOf({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString("base64");
}

export async function readPacks(
  db: Database,
  run: RunId,
  { from, limit }: { from: Seq; limit: number },
): Promise<Pack[]> {
  const rows = await db.read<{ first: Seq; body: string }>(packsFrom, [run, from, pageSize(limit)]);
  return rows.map(({ first, body }) => ({ first, body: Buffer.from(body, "base64") }));
}
