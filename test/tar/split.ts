import { bytesOf } from "../../src/bytes.ts";
import type { TarEntry } from "../../src/tar/entry.ts";
import { endInsideBody, endInsidePadding, TarParser } from "../../src/tar/parser.ts";

export interface Split {
  /** Neighbouring inline bytes are one chunk. */
  readonly chunks: readonly { readonly inline: boolean; readonly bytes: Uint8Array }[];
  readonly entries: readonly TarEntry[];
}

/**
 * Splits an archive with a parser that never sees more than it asks for, at most `windowStep` bytes beyond.
 * @param shift bytes before the archive in its memory: headers are then not aligned.
 */
export function splitTar(tar: Uint8Array, windowStep: number, shift = 0): Split {
  const memory = new Uint8Array(new SharedArrayBuffer(tar.length + shift));
  memory.set(tar, shift);
  const { length } = memory;
  const chunks: { inline: boolean; bytes: Uint8Array }[] = [];
  const entries: TarEntry[] = [];
  const add = (inline: boolean, start: number, end: number) => {
    const last = chunks.at(-1);
    const bytes = memory.slice(start, end);
    if (bytes.length === 0) return;
    if (inline && last?.inline) last.bytes = Buffer.concat([last.bytes, bytes]);
    else chunks.push({ inline, bytes });
  };
  const parser = new TarParser();
  let at = shift;
  let seen = Math.min(length, shift + windowStep);
  for (;;) {
    const step = parser.step(memory, at, seen, seen === length);
    if (step.kind === "end") {
      add(true, at, length);
      return { chunks, entries };
    }
    if (step.kind === "more") {
      if (seen === length) throw new Error("the parser asks for more at the end");
      if (step.need <= seen - at) throw new Error(`the parser asks for ${step.need} bytes, which it has`);
      if (step.need > 1024 * 1024 + 1024) throw new Error(`the parser asks for ${step.need} bytes`);
      seen = Math.min(length, Math.max(seen + 1, at + step.need));
      continue;
    }
    let headers = step.kind === "inline" ? step.length : step.headerLength;
    if (step.kind === "entry") {
      entries.push({ ...step.entry });
      if (step.external) {
        if (at + headers + step.size > length) throw endInsideBody();
        if (at + headers + step.size + step.padding > length) throw endInsidePadding();
        add(true, at, at + headers);
        at += headers;
        add(false, at, at + step.size);
        at += step.size;
        headers = step.padding;
      } else {
        if (step.entry.type === "file" && seen - at < headers + step.size + step.padding)
          throw new Error("the body is not in the window");
        headers += step.size + step.padding;
      }
    }
    if (at + headers > length) throw endInsideBody();
    add(true, at, at + headers);
    at += headers;
    seen = Math.min(length, Math.max(seen, at + windowStep));
  }
}

/** A ustar header with a right checksum. Fields are given as bytes of the field. */
export function header(fields: {
  name: string;
  size?: number;
  type?: string;
  link?: string;
  magic?: string;
  mode?: string;
  mtime?: string;
  prefix?: string;
  raw?: readonly (readonly [number, string])[];
}): Uint8Array {
  const block = new Uint8Array(512);
  const put = (offset: number, text: string) => block.set(bytesOf(text), offset);
  put(0, fields.name);
  put(100, fields.mode ?? "0000644\0");
  put(108, "0000000\0");
  put(116, "0000000\0");
  put(124, `${(fields.size ?? 0).toString(8).padStart(11, "0")}\0`);
  put(136, fields.mtime ?? "07346545000\0");
  put(156, fields.type ?? "0");
  put(157, fields.link ?? "");
  put(257, fields.magic ?? "ustar\x0000");
  put(345, fields.prefix ?? "");
  for (const [offset, text] of fields.raw ?? []) put(offset, text);
  put(148, "        ");
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}

/** A header and its body, padded. */
export function member(
  fields: Parameters<typeof header>[0],
  body: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const padding = new Uint8Array((512 - (body.length % 512)) % 512);
  return Buffer.concat([header({ size: body.length, ...fields }), body, padding]);
}

/** A pax header with these records. */
export function paxHeader(records: readonly (readonly [string, string])[]): Uint8Array {
  const text = records.map(([key, value]) => paxRecord(key, value)).join("");
  return member({ name: "PaxHeaders/x", type: "x" }, bytesOf(text));
}

function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length++;
  return `${length}${rest}`;
}

export const END = new Uint8Array(1024);
