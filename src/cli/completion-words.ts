/** What can be typed on the command line, as the program itself knows it: the words of which completion scripts are made. */
import type { Argument, Command, Option } from "commander";

/** What a word stands for, and so how it is completed. */
export type Wanted = { kind: "run" | "wait" | "file" | "text" } | { kind: "choice"; choices: readonly string[] };

export type OptionWords = {
  /** `--json`, `-h`. */
  flags: readonly string[];
  description: string;
  /** What it takes; absent for a flag alone. */
  value?: Wanted;
  /** Takes several values, up to the next option. */
  many: boolean;
};

export type CommandWords = {
  name: string;
  description: string;
  options: readonly OptionWords[];
  /** In their order; the last one may repeat. */
  arguments: readonly Wanted[];
  repeats: boolean;
};

export type ProgramWords = { name: string; commands: readonly CommandWords[]; options: readonly OptionWords[] };

export function wordsOfProgram(program: Command): ProgramWords {
  const help = program.createHelp();
  return {
    name: program.name(),
    options: help.visibleOptions(program).map(optionWords),
    commands: help.visibleCommands(program).map((command) => ({
      name: command.name(),
      description: command.description(),
      options: help.visibleOptions(command).map(optionWords),
      arguments:
        command.name() === "help"
          ? [{ kind: "choice", choices: program.commands.map((each) => each.name()) }]
          : command.registeredArguments.map(argumentWords),
      repeats: command.registeredArguments.at(-1)?.variadic === true,
    })),
  };
}

function argumentWords(argument: Argument): Wanted {
  if (argument.argChoices !== undefined) return { kind: "choice", choices: argument.argChoices };
  return { kind: wantedKind(argument.name()) };
}

/** Options are known by what their value is called: `--store <path>`. */
function optionWords(option: Option): OptionWords {
  const flags = [option.short, option.long].filter((flag) => flag !== undefined && flag !== null);
  const { description, variadic: many } = option;
  if (!option.required && !option.optional) return { flags, description, many };
  if (option.argChoices !== undefined) {
    return { flags, description, many, value: { kind: "choice", choices: option.argChoices } };
  }
  const [, named = ""] = /[<[]([\w-]+)/.exec(option.flags) ?? [];
  return { flags, description, many, value: { kind: wantedKind(named) } };
}

function wantedKind(name: string): "run" | "wait" | "file" | "text" {
  // The runs of a comparison.
  if (name === "a" || name === "b") return "run";
  if (name === "run" || name === "wait") return name;
  return ["files", "file", "path"].includes(name) ? "file" : "text";
}
