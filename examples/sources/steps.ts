/**
 * A graph of tasks on real input: what the source files of a folder are like. The files are listed, each is read by a task
 * of its own, three tasks look at what was found side by side, and the last one writes a report.
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { TaskResult, TaskStep, TaskTools } from "../../src/tasks.ts";
import { mapTask } from "../../src/tasks.ts";

/** What the tasks share: which folder it is about, where the report goes, and what was found. */
export type Sources = {
  folder: string;
  report: string;
  files?: number;
  longest?: string[];
  rooms?: Record<string, number>;
  imported?: string[];
};

type File = { file: string; lines: number; imports: string[] };

const done = (data?: unknown): TaskResult => ({ status: "success", ...(data === undefined ? {} : { data }) });

/** `onRead` is told of each file that is about to be read. */
export function sourceSteps(onRead: (file: string) => void = () => {}): TaskStep<Sources>[] {
  return [
    { name: "list", run: list },
    mapTask("read", {
      dependencies: ["list"],
      items: (results) => results.data("list") as string[],
      run: async (file, { folder }: Sources) => {
        onRead(file);
        return read(folder, file);
      },
    }),
    looking("longest", (files, context) => {
      const longest = files.toSorted((a, b) => b.lines - a.lines || (a.file < b.file ? -1 : 1)).slice(0, 3);
      context.longest = longest.map(({ file, lines }) => `${file} (${lines})`);
    }),
    looking("rooms", (files, context) => {
      const rooms: Record<string, number> = {};
      for (const { file, lines } of files) rooms[dirname(file)] = (rooms[dirname(file)] ?? 0) + lines;
      context.rooms = rooms;
    }),
    looking("imported", (files, context) => {
      const times = new Map<string, number>();
      for (const one of files.flatMap(({ imports }) => imports)) times.set(one, (times.get(one) ?? 0) + 1);
      const most = [...times].toSorted(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)).slice(0, 3);
      context.imported = most.map(([name, n]) => `${name} (${n} times)`);
    }),
    { name: "report", dependencies: ["longest", "rooms", "imported"], run: report },
  ];
}

async function list(context: Sources): Promise<TaskResult> {
  const found = await readdir(context.folder, { recursive: true });
  const files = found.filter((file) => file.endsWith(".ts")).toSorted();
  context.files = files.length;
  return done(files);
}

async function read(folder: string, file: string): Promise<File> {
  const text = await readFile(join(folder, file), "utf8");
  const imports = [...text.matchAll(/\bfrom "([^"]+)"/gu)].map(([, from = ""]) => from);
  return { file, lines: text.split("\n").length - 1, imports: imports.filter((from) => !from.startsWith(".")) };
}

function looking(name: string, look: (files: readonly File[], context: Sources) => void): TaskStep<Sources> {
  return {
    name,
    dependencies: ["read"],
    run: async (context, _, tools) => {
      const { results } = tools as TaskTools<{ read: File[] }>;
      look(results.data("read"), context);
      return done();
    },
  };
}

async function report(context: Sources): Promise<TaskResult> {
  const { files = 0, longest = [], rooms = {}, imported = [] } = context;
  const lines = [
    `# ${files} source files`,
    "",
    `Longest: ${longest.join(", ")}`,
    `Imported most: ${imported.join(", ")}`,
    "",
    ...Object.entries(rooms).map(([room, count]) => `- ${room}: ${count} lines`),
  ];
  await writeFile(context.report, `${lines.join("\n")}\n`);
  return done();
}
