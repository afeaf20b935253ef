import { CfsError } from "../errors.ts";
import { parseJsonObject } from "./json.ts";

/** A member of an object in a JSON text. */
interface Member {
  readonly key: string;
  /** Offsets of its value. */
  readonly start: number;
  readonly end: number;
}

interface ObjectSpan {
  readonly members: readonly Member[];
  /** Offset of the closing brace. */
  readonly close: number;
}

/**
 * Sets a member of a JSON object and leaves every other character as it is: order, white space and numbers of any
 * size. Objects on the way are made when they are missing or null; a new member comes last.
 * @param document UTF-8.
 * @throws CfsError Invalid when the document is no JSON object, or something on the way is not an object.
 */
export function setJsonMember(
  document: Uint8Array,
  path: readonly string[],
  value: string | number,
  what: string,
): Uint8Array<ArrayBuffer> {
  // What follows may rely on the syntax.
  parseJsonObject(document, what);
  const text = new TextDecoder().decode(document);
  return new TextEncoder().encode(setIn(text, skipSpace(text, 0), path, JSON.stringify(value), what));
}

function setIn(text: string, at: number, path: readonly string[], value: string, what: string): string {
  const [key, ...rest] = path;
  const object = readObject(text, at);
  // Of members of the same name, readers take the last one.
  const member = object.members.findLast((m) => m.key === key);
  const isNull = member !== undefined && text.slice(member.start, member.end) === "null";
  if (member !== undefined && rest.length > 0 && !isNull) {
    if (text[member.start] !== "{") throw new CfsError("Invalid", `${what}: "${key}" is not an object`);
    return setIn(text, member.start, rest, value, what);
  }
  const made = rest.reduceRight((inner, name) => `{${JSON.stringify(name)}:${inner}}`, value);
  if (member !== undefined) return text.slice(0, member.start) + made + text.slice(member.end);
  const last = object.members.at(-1);
  const place = last?.end ?? object.close;
  const comma = last === undefined ? "" : ",";
  return `${text.slice(0, place)}${comma}${JSON.stringify(key)}:${made}${text.slice(place)}`;
}

/** @param start of the opening brace. The text is known to be JSON. */
function readObject(text: string, start: number): ObjectSpan {
  const members: Member[] = [];
  let at = skipSpace(text, start + 1);
  while (text[at] === '"') {
    const keyEnd = skipString(text, at);
    const key: string = JSON.parse(text.slice(at, keyEnd));
    const valueStart = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const end = skipValue(text, valueStart);
    members.push({ key, start: valueStart, end });
    at = skipSpace(text, end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return { members, close: at };
}

function skipSpace(text: string, start: number): number {
  let at = start;
  while (at < text.length && " \t\r\n".includes(text[at]!)) at++;
  return at;
}

function skipString(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

function skipValue(text: string, start: number): number {
  let depth = 0;
  let at = start;
  do {
    const char = text[at]!;
    if (char === '"') {
      at = skipString(text, at);
      continue;
    }
    if (char === "{" || char === "[") depth++;
    else if (char === "}" || char === "]") depth--;
    at++;
    // A number or word ends where something else begins.
    if (depth === 0 && !"}]".includes(char))
      while (at < text.length && !",}] \t\r\n".includes(text[at]!)) at++;
  } while (depth > 0);
  return at;
}
