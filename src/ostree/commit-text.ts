import { type Value, Variant } from "./gvariant.ts";

/** The years that composefs-rs can show; times outside of them are plain numbers. */
const MIN_TIME = -8334601228800n;
const MAX_TIME = 8210266876799n;

/** A commit's time, as `2024-02-03 04:05:06 UTC`. @param timestamp unsigned; taken for a signed one. */
export function formatTimestamp(timestamp: bigint): string {
  const seconds = BigInt.asIntN(64, timestamp);
  if (seconds < MIN_TIME || seconds > MAX_TIME) return String(seconds);
  const date = new Date(Number(seconds) * 1000);
  const year = date.getUTCFullYear();
  const digits = String(Math.abs(year)).padStart(4, "0");
  const sign = year < 0 ? "-" : year > 9999 ? "+" : "";
  const two = (n: number) => String(n).padStart(2, "0");
  const day = `${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`;
  const time = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].map(two).join(":");
  return `${sign}${digits}-${day} ${time} UTC`;
}

/** A value of the metadata of a commit as one line has it: plain where that is clear, else `<TYPE:HEX>`. */
export function formatMetadataValue({ signature, value, bytes }: Variant): string {
  switch (signature) {
    case "s":
      return value as string;
    case "b":
    case "u":
    case "t":
      return String(value);
    case "as":
      return `[${(value as string[]).join(", ")}]`;
    case "ay":
      return hexOf(value as Uint8Array);
  }
  return `<${signature}:${hexOf(bytes)}>`;
}

/** A value of a GVariant as JSON: byte arrays as hex, 64-bit numbers as texts where they are not exact. */
export function valueJson(value: Value): unknown {
  if (value instanceof Uint8Array) return hexOf(value);
  if (value instanceof Variant) return { type: value.signature, value: valueJson(value.value) };
  if (typeof value === "bigint") {
    return value >= -MAX_EXACT && value <= MAX_EXACT ? Number(value) : String(value);
  }
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  return Array.isArray(value) ? value.map(valueJson) : value;
}

/** A dictionary `a{sv}` as JSON: each value with its type. */
export function dictionaryJson(entries: readonly (readonly [key: string, value: Variant])[]): object {
  return Object.fromEntries(entries.map(([key, value]) => [key, valueJson(value)]));
}

const MAX_EXACT = BigInt(Number.MAX_SAFE_INTEGER);

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).hexSlice();
}
