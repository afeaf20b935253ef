/** Which bytes of a blob a reply holds (RFC 9110, 14.4). */
export interface ContentRange {
  readonly start: number;
  /** Behind the last byte. */
  readonly end: number;
  /** Bytes of the whole; undefined when the server doesn't say. */
  readonly total: number | undefined;
}

/** @returns undefined for what is no range of bytes. */
export function parseContentRange(text: string | null): ContentRange | undefined {
  const match = /^bytes[ \t]+(\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i.exec(text?.trim() ?? "");
  if (match === null) return undefined;
  const start = Number(match[1]);
  const end = Number(match[2]) + 1;
  const total = match[3] === "*" ? undefined : Number(match[3]);
  if (end <= start || (total !== undefined && end > total)) return undefined;
  return { start, end, total };
}
