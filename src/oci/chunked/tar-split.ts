import { CfsError } from "../../errors.ts";
import { asObject, type JsonObject, optionalString } from "../json.ts";

/** A piece of a tar: bytes as they are, or the body of a file that is kept elsewhere. */
export type TarPiece =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "body"; readonly name: string; readonly size: number };

const SEGMENT = 2;
const FILE = 1;
const NEWLINE = 0x0a;
/** A segment holds the headers of an entry, of which there is at most 1 MiB, in base64. */
const MAX_LINE = 8 * 1024 * 1024;
const WHAT = "tar-split data";

/**
 * The pieces of a tar in its order, from the text of tar-split: one JSON object a line. Empty bodies are left out.
 * @param text in parts of any length.
 * @throws CfsError Invalid
 */
export function* readTarSplit(text: Iterable<Uint8Array>): Generator<TarPiece> {
  for (const line of lines(text)) {
    const entry = parseLine(line);
    if (entry.type === SEGMENT) {
      const payload = optionalString(entry, "payload", WHAT) ?? "";
      yield { kind: "bytes", bytes: Buffer.from(payload, "base64") };
      continue;
    }
    if (entry.type !== FILE)
      throw new CfsError("Invalid", `${WHAT}: unknown entry type ${String(entry.type)}`);
    const size = entry.size ?? 0;
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
      throw new CfsError("Invalid", `${WHAT}: "size" is no size`);
    if (size > 0) yield { kind: "body", name: nameOf(entry), size };
  }
}

/** Names that are not UTF-8 are given in base64. */
function nameOf(entry: JsonObject): string {
  const raw = optionalString(entry, "name_raw", WHAT);
  if (raw !== undefined) return Buffer.from(raw, "base64").toString();
  return optionalString(entry, "name", WHAT) ?? "";
}

function parseLine(line: Uint8Array): JsonObject {
  try {
    return asObject(JSON.parse(Buffer.from(line).toString()), WHAT);
  } catch (error) {
    throw new CfsError("Invalid", `${WHAT}: a line is not a JSON object`, { cause: error });
  }
}

function* lines(text: Iterable<Uint8Array>): Generator<Uint8Array> {
  let kept: Uint8Array[] = [];
  let length = 0;
  for (const part of text) {
    let start = 0;
    for (let end = part.indexOf(NEWLINE); end >= 0; end = part.indexOf(NEWLINE, start)) {
      kept.push(part.subarray(start, end));
      const line = Buffer.concat(kept);
      if (line.length > 0) yield line;
      kept = [];
      length = 0;
      start = end + 1;
    }
    length += part.length - start;
    if (length > MAX_LINE) throw new CfsError("Invalid", `${WHAT}: a line has more than ${MAX_LINE} bytes`);
    kept.push(part.slice(start));
  }
  const last = Buffer.concat(kept);
  if (last.length > 0) yield last;
}
