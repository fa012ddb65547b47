/**
 * The states of checkpoints as they are stored. A small one is inside its event; a larger one is the root of a tree of
 * payloads, each found by its digest, so that two states share all that is equal in them and a checkpoint costs what
 * changed.
 *
 * Form 1. The text of a state (RFC 8785) is a row of *parts*: text, or what stands behind a digest, which is either
 * text or again a row. So reading is putting texts together, whatever rule they were cut by, and that rule
 * (`state-cut`) may change without a new form. A row is one payload: a line of tokens with one space between them, a
 * line feed, then the texts that are in the row itself, one behind the other without a mark. The tokens are, in order:
 *
 *     12          the next 12 UTF-16 code units of these texts
 *     t<digest>   the text of a payload
 *     n<digest>   the parts of a payload that is a row itself (a node of the tree)
 *
 * A digest is SHA-256 in base64url (RFC 4648 section 5) without padding, 43 characters. Canonical JSON holds no line
 * feed, so the first one ends the tokens. Everything is covered by the digest of the root, which is in the event and so
 * in the hash chain. Texts are not JSON by themselves, and nobody but the engine names them; a state that holds such a
 * text as its own value is cut like any other, so no value can pass for a row.
 */
import { StemmaError } from "./error.ts";
import type { Digest, StateTree } from "./event.ts";
import { utf8Length } from "./json.ts";

/** What stands behind a digest: text, or a row of parts (a node). */
export type Reference = { digest: Digest; node: boolean };
export type Part = string | Reference;

/** The form that is written. */
export const stateForm = 1;

/** Characters of a reference among tokens, with the space behind it. */
export const referenceChars = 45;

/** The payload of a row. */
export function rowText(parts: readonly Part[]): string {
  const tokens = parts.map((part) =>
    typeof part === "string" ? part.length : `${part.node ? "n" : "t"}${shortOf(part.digest)}`,
  );
  return `${tokens.join(" ")}\n${parts.filter((part) => typeof part === "string").join("")}`;
}

const tokenForm = /^(?:(\d{1,9})|([tn])([\w-]{43}))$/;

/** The parts of a row. Throws store.corrupt where the text is no row. */
export function partsOf(text: string): Part[] {
  let at = text.indexOf("\n") + 1;
  const parts = text
    .slice(0, Math.max(at - 1, 0))
    .split(" ")
    .map((token): Part => {
      const [, chars, kind, short] = tokenForm.exec(token) ?? [];
      if (chars === undefined && short === undefined) throw notRow(`the token ${JSON.stringify(token.slice(0, 50))}`);
      if (short !== undefined) return { digest: longOf(short), node: kind === "n" };
      const from = at;
      at += Number(chars);
      return text.slice(from, at);
    });
  if (at !== text.length) throw notRow(`${text.length} characters where ${at} are announced`);
  return parts;
}

function notRow(found: string): StemmaError {
  return new StemmaError("store.corrupt", `Expected a part of a checkpoint's state, found ${found}.`);
}

/**
 * The canonical text of a state.
 *
 * @param textOf gives the text of a payload, or throws
 * @throws store.corrupt when the parts do not make a text of the size that the event names; store.newer
 */
export function stateText(tree: StateTree, textOf: (digest: Digest) => string): string {
  checkForm(tree);
  const found: string[] = [];
  let chars = 0;
  const left: Part[] = [{ digest: tree.digest, node: true }];
  for (let part = left.pop(); part !== undefined; part = left.pop()) {
    if (typeof part !== "string" && part.node) {
      left.push(...partsOf(textOf(part.digest)).reverse());
      continue;
    }
    const text = typeof part === "string" ? part : textOf(part.digest);
    chars += text.length;
    // Equal parts are stored once and may stand for a thousand times their size, so what comes out is bounded.
    if (chars > tree.bytes) throw notRow(`more than the ${tree.bytes} bytes that its event names`);
    found.push(text);
  }
  const text = found.join("");
  const bytes = utf8Length(text);
  if (bytes !== tree.bytes) throw notRow(`${bytes} bytes where its event names ${tree.bytes}`);
  return text;
}

/** Throws store.newer when a state is stored in a form that this version cannot read. */
export function checkForm({ tree }: StateTree): void {
  if (tree === stateForm) return;
  throw new StemmaError(
    "store.newer",
    `Expected the state of a checkpoint in form ${stateForm}, found form ${String(tree)}. Use the version of Stemma that wrote it, or a later one.`,
    { data: { form: tree } },
  );
}

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Hexadecimal to base64url: three digits of 4 bits are two of 6. */
function shortOf(digest: Digest): string {
  let short = "";
  for (let i = 0; i < 63; i += 3) {
    const bits = Number.parseInt(digest.slice(i, i + 3), 16);
    short += digits.charAt(bits >> 6) + digits.charAt(bits & 63);
  }
  return short + digits.charAt(Number.parseInt(digest.slice(63), 16) << 2);
}

function longOf(short: string): Digest {
  let digest = "";
  for (let i = 0; i < 42; i += 2) {
    const bits = (digits.indexOf(short.charAt(i)) << 6) | digits.indexOf(short.charAt(i + 1));
    digest += bits.toString(16).padStart(3, "0");
  }
  return digest + (digits.indexOf(short.charAt(42)) >> 2).toString(16);
}
