import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { type Cut, powerCuts, startOnPlatter } from "./platter.ts";

const seed = Number(process.env["STEMMA_SEED"] ?? 20_261_121);

/** What the small children of plain files begin with. */
const prelude = `
import * as fs from "node:fs";
process.chdir(process.argv[2]);
const write = (name, text) => fs.writeFileSync(name, text);
const sync = (name) => { const fd = fs.openSync(name, "r"); fs.fsyncSync(fd); fs.closeSync(fd); };
`;

interface Verdict {
  readonly acknowledged: number;
  readonly survived: number;
  readonly lost: number;
}

/** The rows from 1 on that survived whole. Throws when the file is damaged, has a gap, or a row that was never written. */
function judge({ folder, lines, calls }: Cut): Verdict {
  const acknowledged = Number(lines.at(-1) ?? 0);
  if (acknowledged > 0) expect(calls.writes, "the writes of the child must come through the shim").toBeGreaterThan(0);
  const database = new DatabaseSync(join(folder, "a.db"));
  try {
    expect(database.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
    const table = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'row'").get();
    const rows = table === undefined ? [] : database.prepare("SELECT n, text FROM row ORDER BY n").all();
    rows.forEach(({ n, text }, index) => {
      expect(n).toBe(index + 1);
      expect(text).toBe(`${index + 1} `.repeat(1 + (((index + 1) * 37) % 500)));
    });
    return { acknowledged, survived: rows.length, lost: Math.max(0, acknowledged - rows.length) };
  } finally {
    database.close();
  }
}

async function cutRawWriter(synchronous: "FULL" | "NORMAL"): Promise<Verdict[]> {
  const started = performance.now();
  const verdicts = await powerCuts({
    cuts: 10,
    seed,
    script: join(import.meta.dirname, "raw-writer.ts"),
    args: (folder) => [join(folder, "a.db"), synchronous],
    linesMax: 120,
    judge,
  });
  const sum = (key: keyof Verdict): number => verdicts.reduce((total, verdict) => total + verdict[key], 0);
  const losing = verdicts.filter(({ lost }) => lost > 0).length;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `synchronous=${synchronous}, seed ${seed}: ${verdicts.length} cuts in ${seconds} s, ${sum("acknowledged")} rows ` +
      `acknowledged, ${sum("lost")} lost in ${losing} cuts`,
  );
  return verdicts;
}

describe.skipIf(process.platform !== "linux")("a power cut on the platter", () => {
  test("loses no acknowledged row at synchronous=FULL", { timeout: 60_000 }, async () => {
    const verdicts = await cutRawWriter("FULL");
    expect(verdicts.filter(({ lost }) => lost > 0)).toEqual([]);
    expect(Math.max(...verdicts.map(({ acknowledged }) => acknowledged))).toBeGreaterThan(20);
  });

  test("loses acknowledged rows at synchronous=NORMAL, so the cut is real", { timeout: 60_000 }, async () => {
    const verdicts = await cutRawWriter("NORMAL");
    expect(verdicts.filter(({ lost }) => lost > 0).length).toBeGreaterThan(0);
  });

  test("keeps what was synced, under names whose directory was synced", async () => {
    const files = await survivors(`write("new", "whole"); sync("new"); sync(".");`, 0);
    expect(files).toEqual({ old: "old", new: "whole" });
  });

  test("keeps nothing that was not synced", async () => {
    const files = await survivors(
      `write("new", "whole"); sync("new"); sync("."); write("new", "later, and unsynced"); fs.truncateSync("new", 2);
       write("unnamed", "its directory was not synced after it"); sync("unnamed"); fs.unlinkSync("old");`,
      0,
    );
    expect(files).toEqual({ old: "old", new: "whole" });
  });

  test("keeps the old or the new file of a rename, by the sync of the directory", async () => {
    const replace = `write("fresh", "new"); sync("fresh"); fs.renameSync("fresh", "old");`;
    expect(await survivors(replace, 0)).toEqual({ old: "old" });
    expect(await survivors(`${replace} sync(".");`, 0)).toEqual({ old: "new" });
  });

  test("keeps a share of the unsynced bytes, out of order and torn by sectors", async () => {
    const files = await survivors(
      `write("new", ""); sync("new"); sync("."); const fd = fs.openSync("new", "r+");
       for (let n = 0; n < 200; n++) fs.writeSync(fd, "x".repeat(1024));`,
      0.3,
    );
    const whole = "x".repeat(512);
    const sectors = (files["new"] ?? "").match(/[^]{512}/gu) ?? [];
    expect(new Set(sectors)).toEqual(new Set([whole, "\0".repeat(512)]));
    const landed = sectors.filter((sector) => sector === whole).length;
    expect(landed).toBeGreaterThan(40);
    expect(landed).toBeLessThan(200);
    const torn = sectors.filter((sector, n) => n % 2 === 0 && sector !== (sectors[n + 1] ?? sector));
    expect(torn.length).toBeGreaterThan(0);
  });
});

/** Runs these lines beside a durable file `old` and cuts once they are done; gives the surviving files by name. */
async function survivors(lines: string, early: number): Promise<Record<string, string>> {
  const root = mkdtempSync(join(tmpdir(), "platter-test-"));
  try {
    const folder = join(root, "live");
    const script = join(root, "child.mjs");
    mkdirSync(folder);
    writeFileSync(join(folder, "old"), "old");
    writeFileSync(script, `${prelude}${lines}\nfs.writeSync(1, "done\\n");\nsetInterval(() => {}, 60_000);\n`);
    await using living = startOnPlatter({ script, args: [folder], folder, seed, early });
    await living.printed(1);
    const cut = await living.cut();
    const names = readdirSync(cut.folder);
    return Object.fromEntries(names.map((name) => [name, readFileSync(join(cut.folder, name), "latin1")]));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
