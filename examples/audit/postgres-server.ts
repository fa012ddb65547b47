/**
 * A PostgreSQL server of the demonstration's own, in a temporary folder, with the binaries of an npm package:
 *
 *     node examples/audit/postgres-server.ts
 *
 * It prints one line, `{"url":"postgres://…","pid":…,"folder":…}`, when the server is ready. On SIGTERM, or when whoever
 * started this process with a channel is gone, the server is stopped and its folder removed. SIGINT is not for it: a
 * terminal sends it to all processes of the demonstration, and those that use the database have to end first.
 */
import { tmpdir } from "node:os";
import { startPostgres } from "../../test/postgres/server.ts";

/** How long those who are connected may take to leave. */
const patienceMs = 5000;

let stopping = false;
const server = startPostgres({ parent: tmpdir(), detached: true });

async function stop(): Promise<void> {
  if (stopping) return;
  stopping = true;
  await server.then((running) => running.stop(patienceMs));
  process.exit(0);
}
process.on("SIGTERM", () => void stop());
process.on("SIGINT", () => {});
// Whoever started this process is gone: nobody else would ever stop it.
process.once("disconnect", () => void stop());
process.channel?.unref();

const { url, pid, folder } = await server;
if (!stopping) console.log(JSON.stringify({ url, pid, folder }));
