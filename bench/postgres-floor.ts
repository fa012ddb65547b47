/**
 * The floors on PostgreSQL: bare loops over pg that write what has to be written and do nothing else. `rows` writes
 * Stemma's own rows into Stemma's own tables, the least that the feed can do with included (one row for the whole run,
 * at its end); `bare` writes one row per step with its name and its output, and one per run. Each commit is one prepared
 * statement: of plain values for one run, of arrays for many.
 */
import type { Client } from "pg";

import type { Kind } from "./floor.ts";
import type { Column, PostgresTemplate, Text, TextRow } from "./postgres-template.ts";

/** One insert or update of a statement: its text for one run and for many, and what it writes of a run. */
type Write = {
  table: string;
  columns: readonly Column[];
  /** Rows that it writes of one run; one unless said. */
  tuples?: number;
  /** Sets the columns behind the first, which says where. */
  update?: boolean;
  rows(run: number, part: number): readonly Text[][];
};

export type PostgresWriter = {
  commits: number;
  write(client: Client, runs: readonly number[], part: number): Promise<void>;
};

/** What a run of `steps` steps writes: created; a commit for each step, the first with the start; ended. */
export function postgresWriter(schema: string, kind: Kind, template: PostgresTemplate, steps: number): PostgresWriter {
  const writes = kind === "rows" ? stemmaRows(template, steps) : bareRows(template, steps);
  const commits = steps + 2;
  const texts = [false, true].map((many) => writes.map((parts) => textOf(schema, parts, many)));
  const shapes = Array.from({ length: commits }, (_, part) => (part <= 1 ? part : part < commits - 1 ? 2 : 3));
  return {
    commits,
    async write(client, runs, part) {
      const shape = shapes[part] ?? 0;
      const parts = writes[shape] ?? [];
      const many = runs.length > 1;
      const values = parts.flatMap(({ columns, rows }): unknown[] => {
        const all = runs.flatMap((run) => rows(run, part));
        return many ? columns.map((_, at) => all.map((row) => row[at] ?? null)) : all.flat();
      });
      const text = texts[Number(many)]?.[shape] ?? "";
      await client.query({ name: `${kind} ${shape} ${many}`, text, values });
    },
  };
}

/** All but the last of the writes stand before it in one statement. */
function textOf(schema: string, writes: readonly Write[], many: boolean): string {
  let from = 1;
  const parts = writes.map((write) => {
    const text = writeText(schema, write, many, from);
    from += write.columns.length * (many ? 1 : (write.tuples ?? 1));
    return text;
  });
  const before = parts.slice(0, -1).map((text, i) => `w${i} as (${text})`);
  return `${before.length > 0 ? `with ${before.join(", ")} ` : ""}${parts.at(-1)}`;
}

function writeText(schema: string, { table, columns, tuples = 1, update }: Write, many: boolean, from: number): string {
  const names = columns.map(({ name }) => name);
  const [key = "", ...rest] = names;
  const numbered = columns.map(({ type }, at) => `$${from + at}::${type}`);
  const arrays = `unnest(${numbered.map((one) => `${one}[]`).join(", ")})`;
  if (update === true) {
    const set = rest.map((name, at) => `${name} = ${many ? `g.${name}` : numbered[at + 1]}`).join(", ");
    return many
      ? `update ${schema}.${table} r set ${set} from ${arrays} as g (${names.join(", ")}) where r.${key} = g.${key}`
      : `update ${schema}.${table} r set ${set} where r.${key} = ${numbered[0]}`;
  }
  const tuple = (at: number): string =>
    `(${columns.map(({ type }, i) => `$${from + at * columns.length + i}::${type}`).join(", ")})`;
  const source = many
    ? `select * from ${arrays}`
    : `values ${Array.from({ length: tuples }, (_, at) => tuple(at)).join(", ")}`;
  return `insert into ${schema}.${table} (${names.join(", ")}) ${source}`;
}

const idOf = (prefix: string, run: number): string => `${prefix}${String(run).padStart(10, "0")}`;

function stemmaRows({ runs, events, feed }: PostgresTemplate, steps: number): Write[][] {
  const [row] = runs.rows as [TextRow];
  const prefix = String(row["id"]).slice(0, -10);
  const [created, started, first, second] = events.rows as [TextRow, TextRow, TextRow, TextRow];
  const last = events.rows.at(-1) as TextRow;
  const label = String(second["data"]).split("work#2") as [string, string];
  const valuesOf = (columns: readonly Column[], of: TextRow): Text[] => columns.map(({ name }) => of[name] ?? null);
  const event = (run: number, seq: number, of: TextRow): Text[] =>
    valuesOf(events.columns, { ...of, run: idOf(prefix, run), seq: String(seq) });
  const insert = { table: "events", columns: events.columns };
  const atFirst = { ...row, status: "queued", ended_at: null, due_at: row["created_at"] ?? null };
  const ended = ["id", "status", "ended_at", "seq", "hash", "state", "due_at"].map(
    (name) => runs.columns.find((column) => column.name === name) as Column,
  );
  return [
    [
      { ...insert, rows: (run) => [event(run, 0, created)] },
      {
        table: "runs",
        columns: runs.columns,
        rows: (run) => [valuesOf(runs.columns, { ...atFirst, id: idOf(prefix, run) })],
      },
    ],
    [{ ...insert, tuples: 2, rows: (run) => [event(run, 1, started), event(run, 2, first)] }],
    [
      {
        ...insert,
        // Label and cause grow with the digits of the number.
        rows: (run, part) => [
          event(run, part + 1, { ...second, causes: `[${part}]`, data: `${label[0]}work#${part}${label[1]}` }),
        ],
      },
    ],
    [
      { ...insert, rows: (run) => [event(run, steps + 2, { ...last, causes: `[${steps + 1}]` })] },
      {
        table: "feed",
        columns: feed.columns,
        rows: (run) => [
          valuesOf(feed.columns, {
            position: String(run * (steps + 3)),
            run: idOf(prefix, run),
            seq: "0",
            n: String(steps + 3),
          }),
        ],
      },
      {
        table: "runs",
        columns: ended,
        update: true,
        rows: (run) => [valuesOf(ended, { ...row, id: idOf(prefix, run), seq: String(steps + 2) })],
      },
    ],
  ];
}

/** What makes the tables of `bare`. */
export function bareTables(schema: string): string[] {
  return [
    `create table ${schema}.bare_runs (id text collate "C" primary key, status text not null, output text)`,
    `create table ${schema}.bare_steps (run text collate "C", seq bigint, name text not null, output text not null, primary key (run, seq))`,
  ];
}

function bareRows({ runs, events }: PostgresTemplate, steps: number): Write[][] {
  const prefix = String(runs.rows[0]?.["id"]).slice(0, -10);
  const { output } = JSON.parse(String(events.rows[2]?.["data"])) as { output: { inline: unknown } };
  const text = JSON.stringify(output.inline);
  const textColumn = (name: string): Column => ({ name, type: "text" });
  const step: Write = {
    table: "bare_steps",
    columns: [textColumn("run"), { name: "seq", type: "bigint" }, textColumn("name"), textColumn("output")],
    rows: (run, part) => [[idOf(prefix, run), String(part), "work", text]],
  };
  const create: Write = {
    table: "bare_runs",
    columns: [textColumn("id"), textColumn("status")],
    rows: (run) => [[idOf(prefix, run), "queued"]],
  };
  const end: Write = {
    table: "bare_runs",
    columns: [textColumn("id"), textColumn("status"), textColumn("output")],
    update: true,
    rows: (run) => [[idOf(prefix, run), "succeeded", String(steps)]],
  };
  return [[create], [step], [step], [end]];
}

/** Writes runs `from` to `to`, `together` of them with each statement. */
export async function writePostgresRuns(
  client: Client,
  writer: PostgresWriter,
  range: { from: number; to: number; together: number },
): Promise<void> {
  for (let first = range.from; first <= range.to; first += range.together) {
    const runs = Array.from({ length: Math.min(range.together, range.to - first + 1) }, (_, at) => first + at);
    for (let part = 0; part < writer.commits; part++) await writer.write(client, runs, part);
  }
}
