import { CfsError, withContext } from "../../errors.ts";
import { type JsonValue, parseStrictJson } from "../../repository/strict-json.ts";
import { type JsonObject, parseJsonObject } from "../json.ts";

/**
 * Parses an object whose meaning must be the same for every reader: no member may be there twice, at any depth.
 * @throws CfsError Invalid
 */
export function parseUnambiguousJson(bytes: Uint8Array, what: string): JsonObject {
  const object = parseJsonObject(bytes, what);
  let repeated: string | undefined;
  try {
    repeated = repeatedMember(parseStrictJson(bytes));
  } catch (error) {
    throw withContext(`the ${what}`, error);
  }
  if (repeated !== undefined)
    throw new CfsError("Invalid", `the ${what} has the member ${JSON.stringify(repeated)} twice`);
  return object;
}

function repeatedMember(value: JsonValue): string | undefined {
  if (value.kind === "array") return firstOf(value.items, repeatedMember);
  if (value.kind !== "object") return undefined;
  const names = new Set<string>();
  return firstOf(value.members, ({ name, value: member }) => {
    if (names.has(name)) return name;
    names.add(name);
    return repeatedMember(member);
  });
}

function firstOf<T>(values: readonly T[], find: (value: T) => string | undefined): string | undefined {
  for (const value of values) {
    const found = find(value);
    if (found !== undefined) return found;
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
