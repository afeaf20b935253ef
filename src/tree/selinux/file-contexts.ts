import { type ByteString, display, toText } from "../../bytes.ts";
import { CfsError } from "../../errors.ts";

/** How `file_contexts` spells a file's type: regular, block, character, directory, pipe, link, socket. */
export type TypeLetter = "-" | "b" | "c" | "d" | "l" | "p" | "s";

/** A line of `file_contexts`. */
export interface ContextRule {
  readonly expression: string;
  /** Undefined: files of every type. */
  readonly type: TypeLetter | undefined;
  /** Undefined for `<<none>>`: no label. */
  readonly label: ByteString | undefined;
}

const MAX_LINES = 1_000_000;
const NO_LABEL = "<<none>>";

/**
 * Reads a file in the format of file_contexts(5): regular expression, type unless all are meant, label. Lines are
 * counted from 0 in messages.
 * @throws CfsError Invalid, naming file and line
 */
export function parseFileContexts(bytes: ByteString, file: string): ContextRule[] {
  const rules: ContextRule[] = [];
  for (const { fields, invalid } of lines(bytes, file)) {
    const [expression, second, third] = fields;
    if (second === undefined) throw invalid("missing separator after regex");
    const hasType = second.startsWith("-");
    const type = hasType ? typeLetter(second) : undefined;
    if (hasType && type === undefined) throw invalid(`invalid type code ${display(utf8(second))}`);
    const label = hasType ? third : second;
    if (label === undefined) throw invalid("missing context field");
    if (fields.length > (hasType ? 3 : 2)) throw invalid("trailing data");
    rules.push({ expression: expression!, type, label: label === NO_LABEL ? undefined : utf8(label) });
  }
  return rules;
}

/**
 * Reads a file in the format of `file_contexts.subs`: a path, and the one that it is to be treated as.
 * @throws CfsError Invalid, naming file and line
 */
export function parseSubstitutions(bytes: ByteString, file: string): [ByteString, ByteString][] {
  return Array.from(lines(bytes, file), ({ fields, invalid }) => {
    const [alias, original] = fields;
    if (original === undefined) throw invalid("missing original path");
    if (fields.length > 2) throw invalid("trailing data");
    return [utf8(alias!), utf8(original)];
  });
}

/** The policy's name in `/etc/selinux/config`; undefined when there is none. */
export function parsePolicyType(bytes: ByteString): ByteString | undefined {
  for (const line of decode(bytes, "config").split("\n")) {
    const equals = line.indexOf("=");
    if (equals >= 0 && line.slice(0, equals).trim().toUpperCase() === "SELINUXTYPE")
      return utf8(line.slice(equals + 1).trim());
  }
  return undefined;
}

interface Line {
  readonly fields: readonly string[];
  readonly invalid: (why: string) => CfsError;
}

/** The lines that are neither empty nor comments. */
function* lines(bytes: ByteString, file: string): Generator<Line> {
  const text = decode(bytes, file);
  const all = text.split("\n");
  if (all.length > MAX_LINES) throw new CfsError("Unsupported", `${file} has more than ${MAX_LINES} lines`);
  for (const [number, line] of all.entries()) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    const invalid = (why: string) =>
      new CfsError("Invalid", `SELinux spec file ${file}: line ${number}: ${why}`);
    yield { fields: trimmed.split(/\s+/), invalid };
  }
}

function typeLetter(field: string): TypeLetter | undefined {
  return /^-[-bcdlps]$/.test(field) ? (field[1] as TypeLetter) : undefined;
}

function decode(bytes: ByteString, file: string): string {
  const text = toText(bytes);
  if (text === undefined) throw new CfsError("Invalid", `SELinux spec file ${file} is not UTF-8`);
  return text;
}

function utf8(text: string): ByteString {
  return Buffer.from(text, "utf8").latin1Slice();
}
