/** The completion script for bash, 3.2 and later (the manual of bash, "Programmable Completion"). */
import type { CommandWords, OptionWords, ProgramWords, Wanted } from "./completion-words.ts";

/**
 * The line is taken apart in the shell; only ids of runs and keys of waits are asked of the program. Nothing that is typed is evaluated,
 * and of the program's answer only what looks like an id or a plain key is used.
 */
export function bashScript({ name, commands, options }: ProgramWords): string {
  return `# Completion of ${name} for bash: source <(${name} completion bash)

_${name}_runs() {
  "$program" runs --json --limit 50 \${store[@]+"\${store[@]}"} 2>/dev/null </dev/null |
    grep -o '"id":"run_[0-9a-z]*"' | cut -d '"' -f 4
}

_${name}_waits() {
  "$program" waits --json --run "$first" \${store[@]+"\${store[@]}"} 2>/dev/null </dev/null |
    grep -o '"key":"[A-Za-z0-9_./#-]*"' | cut -d '"' -f 4
}

_${name}_reply() {
  local found
  while IFS= read -r found; do COMPREPLY+=("$found"); done < <(compgen "$@" -- "$cur")
}

_${name}() {
  local program="$1" cur="\${COMP_WORDS[COMP_CWORD]}" command="" option="" many="" word="" first="" i at=0
  local store=()
  COMPREPLY=()
  # "--store=x" comes as three words.
  if [[ "$cur" == "=" ]]; then cur=""; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if [[ "$word" == "=" ]]; then continue; fi
    if [[ -n "$option" && "$word" != -* ]]; then
      if [[ "$option" == "--store" ]]; then store=(--store "$word"); fi
      if [[ -z "$many" ]]; then option=""; fi
      continue
    fi
    option="" many=""
    if [[ "$word" != -* ]]; then
      if [[ -z "$command" ]]; then command="$word"; else at=$((at + 1)) first="\${first:-$word}"; fi
      continue
    fi
    case "$command $word" in
${commands.flatMap(takingCases).join("\n")}
    esac
  done
  case "$command" in
    "") _${name}_reply -W "${[...commands.map((each) => each.name), ...flagsOf(options)].join(" ")}" ;;
${commands.map((each) => commandCase(name, each)).join("\n")}
  esac
}

complete -F _${name} ${name}
`;
}

function flagsOf(options: readonly OptionWords[]): string[] {
  return options.flatMap(({ flags }) => flags);
}

/** Remembers an option whose value comes next. */
function takingCases({ name, options }: CommandWords): string[] {
  return options
    .filter(({ value }) => value !== undefined)
    .map(({ flags, many }) => {
      const patterns = flags.map((flag) => `"${name} ${flag}"`).join(" | ");
      return `      ${patterns}) option=${flags.at(-1) ?? ""}${many ? " many=1" : ""} ;;`;
    });
}

function commandCase(program: string, { name, options, arguments: wanted, repeats }: CommandWords): string {
  const values = options.flatMap(({ flags, value }) =>
    value === undefined ? [] : [`        ${flags.at(-1) ?? ""}:*) ${replyOf(program, value)} ;;`],
  );
  const places = wanted.map((each, i) => {
    const place = repeats && i === wanted.length - 1 ? "*" : String(i);
    return `        :${place}) ${replyOf(program, each)} ;;`;
  });
  return `    ${name})
      if [[ "$cur" == -* ]]; then
        _${program}_reply -W "${flagsOf(options).join(" ")}"
        return
      fi
      case "$option:$at" in
${[...values, ...places].join("\n")}
      esac
      ;;`;
}

function replyOf(program: string, wanted: Wanted): string {
  switch (wanted.kind) {
    case "run":
      return `_${program}_reply -W "$(_${program}_runs)"`;
    case "wait":
      return `_${program}_reply -W "$(_${program}_waits)"`;
    case "file":
      return `compopt -o filenames 2>/dev/null; _${program}_reply -f`;
    case "choice":
      return `_${program}_reply -W "${wanted.choices.join(" ")}"`;
    case "text":
      return ":";
  }
}
