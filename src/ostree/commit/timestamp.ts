import { CfsError } from "../../errors.ts";

const RFC3339 = /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.\d+)? ?([Zz]|[+-]\d{2}:?\d{2})$/;
/** The 64 bits of a commit's timestamp are unsigned. */
const MAX = 2n ** 64n - 1n;

/**
 * A point in time as seconds since 1970.
 * @param text a date and time of RFC 3339, fractions of seconds ignored; or seconds, which may have `@` before them.
 * @throws CfsError Invalid
 */
export function parseTimestamp(text: string, what: string): bigint {
  const seconds = /^@?(\d{1,20})$/.exec(text);
  if (seconds !== null) {
    const value = BigInt(seconds[1]!);
    if (value <= MAX) return value;
  }
  const parts = RFC3339.exec(text);
  const value = parts === null ? undefined : dateSeconds(parts);
  if (value !== undefined) return value;
  throw new CfsError("Invalid", `${what}: '${text}' is not a point in time that a commit can have`, {
    hint: "write it like 2024-02-03T04:05:06Z, or as seconds since 1970",
  });
}

function dateSeconds(parts: RegExpExecArray): bigint | undefined {
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  const isDate = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  date.setUTCHours(hour, minute, second);
  // 60 is a leap second.
  if (!isDate || hour > 23 || minute > 59 || second > 60) return undefined;
  const zone = /^([+-])(\d{2}):?(\d{2})$/.exec(parts[7]!);
  const offset = zone === null ? 0 : Number(zone[2]) * 60 + Number(zone[3]);
  const seconds = date.getTime() / 1000 - (zone?.[1] === "-" ? -offset : offset) * 60;
  return seconds < 0 ? undefined : BigInt(seconds);
}

/** What SOURCE_DATE_EPOCH says (reproducible-builds.org), else the present. @throws CfsError Invalid */
export function defaultTimestamp(environment: Readonly<Record<string, string | undefined>>): bigint {
  const epoch = environment.SOURCE_DATE_EPOCH;
  if (epoch !== undefined && epoch !== "") return parseTimestamp(epoch, "SOURCE_DATE_EPOCH");
  return BigInt(Math.floor(Date.now() / 1000));
}
