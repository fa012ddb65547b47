#!/usr/bin/env node
/**
 * The command line, as a process. Each command is a file in `commands/` and a line in `program.ts`. Standard output
 * carries the answer and nothing else; exit codes: 0 done, 1 the run failed, 2 usage, 3 not found, 4 refused.
 */
import { lineOf } from "./program.ts";
import { survivePipes } from "./terminal.ts";

const line = lineOf(process.argv.slice(2));
const fail = (error: unknown): void => process.exit(line.fail(error));
process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);
survivePipes();

const code = await line.run();
process.exitCode = code;
// What workflows' modules left open (connections, timers) must not keep a command from ending that is done.
process.stdout.write("", () => process.exit(code));
