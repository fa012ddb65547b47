/** `stemma completion`: a script that teaches a shell what can be typed, made from the program itself. */
import { Argument } from "commander";
import type { Command } from "commander";
import { bashScript } from "../completion-bash.ts";
import { fishScript } from "../completion-fish.ts";
import type { ProgramWords } from "../completion-words.ts";
import { wordsOfProgram } from "../completion-words.ts";
import { zshScript } from "../completion-zsh.ts";
import { print, printJson } from "../terminal.ts";

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript } as const satisfies Record<
  string,
  (words: ProgramWords) => string
>;
type Shell = keyof typeof scripts;

export function addCompletion(program: Command): void {
  program
    .command("completion")
    .description("print a completion script for a shell; for bash: source <(stemma completion bash)")
    .addArgument(new Argument("<shell>", "the shell that is to learn it").choices(Object.keys(scripts)))
    .option("--json", "print exactly one JSON value to standard output")
    .action((shell: Shell, options: { json?: boolean }) => {
      const script = scripts[shell](wordsOfProgram(program));
      if (options.json === true) printJson({ shell, script });
      else print(script.trimEnd());
    });
}
