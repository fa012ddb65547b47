/** The completion script for fish (https://fishshell.com/docs/current/cmds/complete.html). */
import type { CommandWords, OptionWords, ProgramWords, Wanted } from "./completion-words.ts";

export function fishScript({ name, commands, options }: ProgramWords): string {
  const lines = commands.flatMap((command) => commandLines(name, command));
  return `# Completion of ${name} for fish: ${name} completion fish | source

function __${name}_store
    set -l words (commandline -opc)
    if set -l at (contains -i -- --store $words)
        printf '%s\\n' --store $words[(math $at + 1)]
    end
end

function __${name}_runs
    set -l words (commandline -opc)
    $words[1] runs --json --limit 50 (__${name}_store) 2>/dev/null </dev/null |
        string match -rag '"id":"(run_[0-9a-z]*)"'
end

# fish does not count arguments either: the run is the word that is the id of one.
function __${name}_waits
    set -l words (commandline -opc)
    set -l runs (string match -r '^run_[0-9a-z]+$' -- $words)
    if set -q runs[1]
        $words[1] waits --json --run $runs[1] (__${name}_store) 2>/dev/null </dev/null |
            string match -rag '"key":"([A-Za-z0-9_./#-]*)"'
    end
end

complete -c ${name} -f
${options.map((option) => optionLine(name, "__fish_use_subcommand", option)).join("\n")}
${lines.join("\n")}
`;
}

function commandLines(program: string, { name, description, options, arguments: wanted }: CommandWords): string[] {
  const there = `__fish_seen_subcommand_from ${name}`;
  // fish does not count arguments: what any of them may be is offered.
  const places = wanted
    .filter(({ kind }) => kind !== "text")
    .map((each) => `complete -c ${program} -n ${quoted(there)} ${valueOf(program, each)}`);
  return [
    `complete -c ${program} -n __fish_use_subcommand -a ${name} -d ${quoted(description)}`,
    ...options.map((option) => optionLine(program, there, option)),
    ...places,
  ];
}

function optionLine(program: string, condition: string, { flags, description, value }: OptionWords): string {
  const names = flags.map((flag) => (flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
  // Without -x fish would offer files beside everything else.
  const taken =
    value === undefined ? "" : ` ${value.kind === "file" ? "-r" : "-x"} ${valueOf(program, value)}`.trimEnd();
  return `complete -c ${program} -n ${quoted(condition)} ${names.join(" ")}${taken} -d ${quoted(description)}`;
}

function valueOf(program: string, wanted: Wanted): string {
  if (wanted.kind === "run" || wanted.kind === "wait") return `-k -a ${quoted(`(__${program}_${wanted.kind}s)`)}`;
  if (wanted.kind === "file") return "-F";
  return wanted.kind === "choice" ? `-a ${quoted(wanted.choices.join(" "))}` : "";
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", String.raw`\'`)}'`;
}
