/** The argument by which a command takes a wait: completed from those that are open. */
import { Argument } from "commander";
import type { Command } from "commander";

export function addWaitArgument(command: Command): Command {
  return command.addArgument(new Argument("<wait>", "key of the wait, as stemma waits shows it"));
}
