import { CfsError } from "../errors.ts";

/** A JSON object whose members nobody has looked at yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * @param what for messages: "manifest", …
 * @throws CfsError Invalid when the bytes are no JSON object.
 */
export function parseJsonObject(bytes: Uint8Array, what: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new CfsError("Invalid", `the ${what} is not JSON`, { cause: error });
  }
  return asObject(value, what);
}

export function asObject(value: unknown, what: string): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new CfsError("Invalid", `${what} is not an object`);
  return value as JsonObject;
}

function wrong(what: string, key: string, expected: string): CfsError {
  return new CfsError("Invalid", `${what}: "${key}" must be ${expected}`);
}

function missing(what: string, key: string): CfsError {
  return new CfsError("Invalid", `${what}: missing field "${key}"`);
}

export function optionalString(object: JsonObject, key: string, what: string): string | undefined {
  const value = object[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw wrong(what, key, "a string");
  return value;
}

export function requiredString(object: JsonObject, key: string, what: string): string {
  const value = optionalString(object, key, what);
  if (value === undefined) throw missing(what, key);
  return value;
}

/** @param max most elements that are accepted. */
export function requiredArray(
  object: JsonObject,
  key: string,
  what: string,
  max: number,
): readonly unknown[] {
  const value = object[key];
  if (value === undefined || value === null) throw missing(what, key);
  if (!Array.isArray(value)) throw wrong(what, key, "an array");
  if (value.length > max) throw wrong(what, key, `an array of at most ${max} elements`);
  return value;
}

export function requiredObject(object: JsonObject, key: string, what: string): JsonObject {
  const value = object[key];
  if (value === undefined || value === null) throw missing(what, key);
  return asObject(value, `${what}: "${key}"`);
}

/** String values by key; an absent member is an empty map. */
export function stringMap(object: JsonObject, key: string, what: string): ReadonlyMap<string, string> {
  const value = object[key];
  if (value === undefined || value === null) return new Map();
  const map = new Map<string, string>();
  for (const [name, text] of Object.entries(asObject(value, `${what}: "${key}"`))) {
    if (typeof text !== "string") throw wrong(what, `${key}.${name}`, "a string");
    map.set(name, text);
  }
  return map;
}

/** A whole number from 0 to 2^53 - 1. */
export function requiredSize(object: JsonObject, key: string, what: string): number {
  const value = object[key];
  if (value === undefined || value === null) throw missing(what, key);
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw wrong(what, key, "a size in bytes");
  return value;
}
