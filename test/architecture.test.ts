/** The arrows of the architecture as a table, held against the import lines of everything in src. */
import { globSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { expect, test } from "vitest";

/** Each room of src and what it may import besides itself: other rooms, modules of Node, packages. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  "core/": [],
  "store/store.ts": ["core/"],
  "store/inspection.ts": ["core/"],
  "store/sqlite/": ["core/", "store/store.ts", "store/inspection.ts", "node:"],
  "store/postgres/": ["core/", "store/store.ts", "node:", "pg"],
  "engine/": ["core/", "store/store.ts", "node:", "@standard-schema/spec", "@cfworker/json-schema"],
  "authoring/workflow/": ["core/", "engine/", "node:async_hooks", "@standard-schema/spec"],
  "authoring/tasks/": ["core/", "engine/", "node:"],
  "authoring/graph/": ["core/", "engine/", "node:", "@standard-schema/spec"],
  "api/contract/": [
    "core/",
    "store/store.ts",
    "store/inspection.ts",
    "engine/",
    "api/agents/node.ts",
    "api/agents/execution.ts",
    "api/webhooks/wish.ts",
    "api/webhooks/webhooks.ts",
    "api/webhooks/delivery-log.ts",
    "api/webhooks/events.ts",
    "zod",
  ],
  "api/webhooks/": ["core/", "store/store.ts", "engine/", "authoring/workflow/", "node:", "ipaddr.js"],
  "api/agents/": ["core/", "store/store.ts", "engine/", "authoring/workflow/", "api/server/hub.ts", "node:"],
  "api/agentfield/": [
    "core/",
    "store/store.ts",
    "engine/",
    "api/contract/",
    "api/agents/",
    "api/webhooks/",
    "api/server/principal.ts",
    "api/server/problem.ts",
    "api/server/request-body.ts",
    "node:",
    "hono",
  ],
  "api/server/": [
    "api/contract/",
    "api/agents/",
    "api/webhooks/",
    "api/agentfield/",
    "core/",
    "store/store.ts",
    "store/inspection.ts",
    "engine/",
    "authoring/",
    "node:",
    "hono",
    "@hono/node-server",
    "zod",
  ],
  "api/agent/": [
    "api/agents/node.ts",
    "api/agents/execution.ts",
    "api/client/connection.ts",
    "api/contract/routes.ts",
    "authoring/graph/schema.ts",
    "core/",
    "engine/",
    "node:",
    "@standard-schema/spec",
  ],
  "api/client/": [
    "api/agents/node.ts",
    "api/contract/routes.ts",
    "api/contract/header.ts",
    "api/webhooks/wish.ts",
    "api/webhooks/webhooks.ts",
    "api/webhooks/delivery-log.ts",
    "core/",
    "store/store.ts",
    "engine/",
  ],
  "testing/": ["core/", "store/", "engine/", "authoring/", "node:"],
  "cli/": ["core/", "store/", "engine/", "authoring/", "api/", "sqlite.ts", "postgres.ts", "node:", "commander"],
  "index.ts": ["core/", "store/store.ts", "store/inspection.ts", "engine/", "authoring/"],
  "sqlite.ts": ["store/sqlite/"],
  "postgres.ts": ["store/postgres/", "store/store.ts"],
  "tasks.ts": ["authoring/tasks/"],
  "graph.ts": ["authoring/graph/"],
  "testing.ts": ["testing/", "engine/"],
  "server.ts": ["api/server/", "api/contract/", "api/webhooks/"],
  "agents.ts": ["api/agent/", "engine/", "core/"],
  "client.ts": [
    "api/client/",
    "api/contract/routes.ts",
    "api/webhooks/wish.ts",
    "api/webhooks/webhooks.ts",
    "api/webhooks/delivery-log.ts",
    "core/",
  ],
};
const tests = [
  "core/",
  "store/",
  "engine/",
  "authoring/",
  "api/",
  "testing/",
  "cli/",
  "index.ts",
  "sqlite.ts",
  "tasks.ts",
  "graph.ts",
  "testing.ts",
  "server.ts",
  "client.ts",
];
const testPackages = [
  "vitest",
  "commander",
  "fast-check",
  "canonicalize",
  "zod",
  "@seriousme/openapi-schema-validator",
  "pg",
  "node:",
  "postgres.ts",
  "../test/",
];

const imports = /^(?:import|export)\b[^"';]*?\bfrom\s+"([^"]+)"|^import\s+"([^"]+)"|\bimport\(\s*["'`]([^"'`]+)/gmu;
const stringsAndComments = /"(?:[^"\\\n]|\\.)*"|\/\*[\s\S]*?\*\/|\/\/.*$/gmu;
const impure = /\b(?:Date\.now|new Date\(\)|Math\.random|await|setTimeout|performance\.|process\.|crypto\.)/gu;
const reExports = /^export (?:type )?\{[^}]*\} from ;$/gmu;

/** What is wrong with these files (by their path below src), one sentence each. */
function violations(files: Readonly<Record<string, string>>): string[] {
  return Object.entries(files).flatMap(([file, text]) => {
    const isTest = file.endsWith(".test.ts");
    const room = Object.keys(rooms).find((name) => file.startsWith(name));
    if (room === undefined) return isTest && !file.includes("/") ? [] : [`${file} is in no room of the table`];
    const allowed = isTest ? [...tests, ...testPackages] : [room, ...(rooms[room] ?? [])];
    const found = [...text.matchAll(imports)].map(([, from, bare, lazy]) => from ?? bare ?? lazy ?? "");
    const targets = found.map((target) => (target.startsWith(".") ? posix.join(posix.dirname(file), target) : target));
    const wrong = targets.filter((target) => !allowed.some((prefix) => target.startsWith(prefix)));
    const code = text.replace(stringsAndComments, "");
    const uses = room === "core/" && !isTest ? [...code.matchAll(impure)].map(([use]) => use) : [];
    return [
      ...wrong.map((target) => `${file} imports ${target}`),
      ...uses.map((use) => `${file} uses ${use}`),
      ...(room.includes("/") || code.replace(reExports, "").trim() === "" ? [] : [`${file} does more than re-export`]),
    ];
  });
}

test("every file of src is in a room, imports only what that room may import, and core is pure", () => {
  const src = join(import.meta.dirname, "../src");
  const paths = globSync("**/*.ts", { cwd: src });
  expect(paths.length).toBeGreaterThan(20);
  expect(violations(Object.fromEntries(paths.map((path) => [path, readFileSync(join(src, path), "utf8")])))).toEqual(
    [],
  );
});

test.each([
  ["core/a.ts", "imports engine/c.ts", `import { b } from "./b.ts";\nimport type {\n  C,\n} from "../engine/c.ts";`],
  ["core/a.ts", "imports node:crypto", `import { hash } from "node:crypto";`],
  ["core/a.ts", "imports zod", `import "zod";`],
  ["core/a.ts", "uses Date.now", "// Not Date.now:\nexport const now = () => Date.now();"],
  ["core/a.ts", "uses Math.random", "export const dice = Math.random;"],
  ["core/a.ts", "uses await", "export async function a(b: Promise<void>) { await b; }"],
  ["core/a.test.ts", "imports lodash", `import { b } from "lodash";`],
  ["store/store.ts", "imports engine/clock.ts", `export type { Clock } from "../engine/clock.ts";`],
  ["store/sqlite/a.ts", "imports pg", `import pg from "pg";`],
  ["engine/a.ts", "imports store/sqlite/open.ts", `import { sqlite } from "../store/sqlite/open.ts";`],
  ["engine/a.ts", "imports authoring/workflow/a.ts", `const a = () => import("../authoring/workflow/a.ts");`],
  ["authoring/workflow/a.ts", "imports node:fs", `import { readFile } from "node:fs";`],
  ["authoring/workflow/a.ts", "imports store/store.ts", `import type { Store } from "../../store/store.ts";`],
  ["api/client/a.ts", "imports zod", `import { z } from "zod";`],
  ["api/client/a.ts", "imports api/contract/runs.ts", `import { runRoutes } from "../contract/runs.ts";`],
  ["engine/a.ts", "imports api/server/app.ts", `import { appOf } from "../api/server/app.ts";`],
  ["testing/a.ts", "imports vitest", `import { test } from "vitest";`],
  ["testing/a.ts", "imports cli/main.ts", `import { main } from "../cli/main.ts";`],
  ["index.ts", "imports sqlite.ts", `export { sqlite } from "./sqlite.ts";`],
  ["index.ts", "does more than re-export", `export const a = 1;`],
  ["store/redis/a.ts", "is in no room of the table", ""],
  ["utils.ts", "is in no room of the table", ""],
])("it is found when %s %s", (file, problem, text) => {
  expect(violations({ [file]: text })).toEqual([`${file} ${problem}`]);
});

test("what the table allows is not a violation", () => {
  const code = `/** @example await Date.now() */\nimport { a } from "./a.ts"; // Math.random\nexport const b = "await";`;
  expect(violations({ "core/b.ts": code })).toEqual([]);
  expect(violations({ "index.ts": `/** All. */\n\nexport {\n  Stemma,\n} from "./engine/stemma.ts";` })).toEqual([]);
});
