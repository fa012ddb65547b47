/** The completion script for zsh (zshcompsys(1), "_arguments"). */
import type { CommandWords, OptionWords, ProgramWords, Wanted } from "./completion-words.ts";

export function zshScript({ name, commands, options }: ProgramWords): string {
  return `#compdef ${name}
# Completion of ${name} for zsh: source <(${name} completion zsh), behind compinit

_${name}_runs() {
  local -a store ids
  if (( \${+opt_args[--store]} )); then store=(--store "\${(Q)opt_args[--store]}"); fi
  ids=(\${(f)"$("\${_${name}_program}" runs --json --limit 50 $store 2>/dev/null </dev/null |
    grep -o '"id":"run_[0-9a-z]*"' | cut -d '"' -f 4)"})
  # In the order of the list: newest first.
  compadd -V runs -a ids
}

_${name}_waits() {
  local -a store keys
  if (( \${+opt_args[--store]} )); then store=(--store "\${(Q)opt_args[--store]}"); fi
  keys=(\${(f)"$("\${_${name}_program}" waits --json --run "\${(Q)line[1]}" $store 2>/dev/null </dev/null |
    grep -o '"key":"[A-Za-z0-9_./#-]*"' | cut -d '"' -f 4)"})
  compadd -V waits -a keys
}

_${name}() {
  local _${name}_program="$words[1]" state line curcontext="$curcontext"
  local -A opt_args
  local -a commands
  commands=(
${commands.map((each) => `    ${quoted(`${each.name}:${each.description}`)}`).join("\n")}
  )
  _arguments -C ${options.flatMap(optionSpecs).map(quoted).join(" ")} '1: :->command' '*:: :->rest'
  case "$state" in
    command) _describe -t commands command commands ;;
    rest)
      case "$line[1]" in
${commands.map((each) => commandCase(name, each)).join("\n")}
      esac
      ;;
  esac
}

if [[ "$funcstack[1]" == "_${name}" ]]; then _${name} "$@"; else compdef _${name} ${name}; fi
`;
}

function commandCase(program: string, { name, options, arguments: wanted, repeats }: CommandWords): string {
  const places = wanted.map((each, i) => {
    const place = repeats && i === wanted.length - 1 ? "*" : String(i + 1);
    return `${place}:${each.kind}:${actionOf(program, each)}`;
  });
  const specs = [...options.flatMap((option) => optionSpecs(option, program)), ...places].map(quoted);
  return `        ${name}) _arguments ${specs.join(" \\\n          ")} ;;`;
}

/** One word for each flag: `--json[print …]`, `*--status[only …]:value:(queued running)`. */
function optionSpecs({ flags, description, value, many }: OptionWords, program: unknown = ""): string[] {
  const text = description.replaceAll(/[[\]:\\]/g, (character) => `\\${character}`);
  return flags.map((flag) => {
    const taken = value === undefined ? "" : `:value:${actionOf(String(program), value)}`;
    return `${many ? "*" : ""}${flag}[${text}]${taken}`;
  });
}

function actionOf(program: string, wanted: Wanted): string {
  if (wanted.kind === "run" || wanted.kind === "wait") return `_${program}_${wanted.kind}s`;
  if (wanted.kind === "file") return "_files";
  return wanted.kind === "choice" ? `(${wanted.choices.join(" ")})` : "";
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
