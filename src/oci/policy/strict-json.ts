import { CfsError } from "../../errors.ts";
import { type JsonObject, parseJsonObject } from "../json.ts";

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:]/g;

/**
 * Parses an object whose meaning must be the same for every reader: no member may be there twice, at any depth.
 * @throws CfsError Invalid
 */
export function parseStrictJson(bytes: Uint8Array, what: string): JsonObject {
  const object = parseJsonObject(bytes, what);
  const repeated = repeatedMember(new TextDecoder().decode(bytes));
  if (repeated !== undefined) throw new CfsError("Invalid", `the ${what} has the member ${repeated} twice`);
  return object;
}

/** @param text valid JSON. */
function repeatedMember(text: string): string | undefined {
  // undefined for arrays, in which there are no members
  const open: (Set<string> | undefined)[] = [];
  let string = "";
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(undefined);
    else if (token === "}" || token === "]") open.pop();
    else if (token !== ":") string = token;
    else {
      const members = open.at(-1);
      const name = JSON.parse(string) as string;
      if (members?.has(name)) return string;
      members?.add(name);
    }
  }
  return undefined;
}

/** @throws CfsError Invalid when the object has members that are not among the known ones. */
export function refuseUnknown(object: JsonObject, known: readonly string[], what: string): void {
  for (const name of Object.keys(object)) {
    if (!known.includes(name))
      throw new CfsError("Invalid", `${what}: ${JSON.stringify(name)} is not a known field`);
  }
}
