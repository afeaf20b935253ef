import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { FormatVersion } from "../../../src/erofs/format.ts";
import type { Algorithm } from "../../../src/verity/digest.ts";

const FOLDER = join(import.meta.dir, "../../../fixtures/erofs");

export const VERSIONS: readonly FormatVersion[] = [0, 1, 2];

export function fixture(name: string): Buffer {
  const bytes = readFileSync(join(FOLDER, name));
  return name.endsWith(".zst") ? Buffer.from(Bun.zstdDecompressSync(bytes)) : bytes;
}

interface Expected {
  digest: string;
  size: number;
}

export interface ImageCase {
  name: string;
  note: string;
  dumpfile: string;
  sha256: Record<"v0" | "v1" | "v2", Expected>;
  sha512: Record<"v0" | "v1" | "v2", Expected>;
  /** Digests, or `error: …`, of mkcomposefs of composefs 1.0. */
  c: Record<"v0" | "v1" | "default", string>;
  c_agrees: boolean;
}

function lines<T>(name: string): T[] {
  return fixture(name)
    .toString()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

export const handMadeCases = (): ImageCase[] => lines("cases.jsonl.zst");
export const generatedCases = (): ImageCase[] => lines("gen.jsonl.zst");

export interface InfoCase {
  image: string;
  ls: string;
  dump: string;
  objects: string;
  missing_objects_empty_basedir: string;
  /** By composefs 1.0. */
  c_ls: string;
  c_dump: string;
  c_objects: string;
}

/** What was recorded of an image. */
export type InfoCommand = Exclude<keyof InfoCase, "image">;

export const infoCases = (): InfoCase[] => JSON.parse(fixture("info.json.zst").toString());

export interface Outcome {
  ok: boolean;
  digest?: string;
  exit?: number;
  stderr?: string;
  cause?: string;
  same_as_base?: boolean;
  panic?: boolean;
}

export interface DumpfileCase {
  name: string;
  input?: string;
  input_base64?: string;
  reference: Outcome;
  c: Outcome;
}

export const dumpfileCases = (): DumpfileCase[] =>
  JSON.parse(fixture("invalid-dumpfiles.json.zst").toString());

export interface CorruptImageCase {
  name: string;
  base: string;
  desc: string;
  patch: [number, string][];
  length: number;
  dump: Outcome;
  collect_objects: Outcome;
  /** By composefs 1.0. */
  c_dump: Outcome;
}

export const corruptImageCases = (): CorruptImageCase[] =>
  JSON.parse(fixture("invalid-images/expected.json").toString());

/** The base image with the case's patches, cut or filled with zeros to its length. */
export function corruptImage(base: Buffer, { patch, length }: CorruptImageCase): Buffer {
  const image = Buffer.alloc(Math.max(length, base.length));
  image.set(base);
  for (const [offset, hex] of patch) image.hexWrite(hex, offset);
  return image.subarray(0, length);
}

/** The dumpfile that sha512 values belong to: every digest written twice. */
export function withDoubledDigests(dumpfile: string): string {
  return dumpfile.split("\n").map(doubleDigests).join("\n");
}

function doubleDigests(line: string): string {
  const fields = line.split(" ");
  const [mode, payload, digest] = [fields[2], fields[8], fields[10]];
  if (mode === undefined || mode.includes("@") || payload === undefined || digest === undefined) return line;
  if (/^[0-9a-fA-F]{64}$/.test(digest)) fields[10] = digest + digest;
  const regular = (Number.parseInt(mode, 8) & 0o170000) === 0o100000;
  if (regular && /^[0-9a-f]{2}\/[0-9a-f]{62}$/.test(payload)) {
    const twice = payload.replace("/", "").repeat(2);
    fields[8] = `${twice.slice(0, 2)}/${twice.slice(2)}`;
  }
  return fields.join(" ");
}

export function dumpfileFor(algorithm: Algorithm, dumpfile: string): Buffer {
  return Buffer.from(algorithm.hash === "sha256" ? dumpfile : withDoubledDigests(dumpfile));
}
