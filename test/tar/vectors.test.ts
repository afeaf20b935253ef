import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { byteString } from "../../src/bytes.ts";
import { describeError } from "../../src/errors.ts";
import { dumpLayer } from "../../src/oci/layer-dump.ts";
import type { LayerEntry } from "../../src/oci/layer-entries.ts";
import { memorySource, SplitstreamReader } from "../../src/splitstream/reader.ts";
import { SplitstreamWriter, toBytes } from "../../src/splitstream/writer.ts";
import { type LayerItem, readLayer } from "../../src/tar/read-back.ts";
import { type ObjectId, SHA256, SHA512 } from "../../src/verity/digest.ts";
import { fsVerityDigest } from "../../src/verity/merkle.ts";
import { splitTar } from "./split.ts";

const FOLDER = join(import.meta.dir, "../../fixtures/oci/layers");

interface Expected {
  description: string;
  file: string;
  import_exit: number;
  import_stderr: string;
  import_stdout: { sha256: string; sha512: string };
  splitstream: Record<"sha256" | "sha512", { chunks: number[]; object_refs: ObjectId[] }>;
  dumpfile: string | { latin1: string };
  dumpfile_exit: number;
  dumpfile_stderr?: string;
}

const cases: [string, Expected][] = Object.entries(
  JSON.parse(readFileSync(join(FOLDER, "expected.json"), "utf8")),
);

/** What the reference refuses and we accept: the layer is kept as it is. */
const ACCEPTED: Record<string, string> = {
  "gnu-sparse": "sparse files are expanded in the tree",
  "pax-sparse-0.0": "sparse files are expanded in the tree",
  "pax-sparse-0.1": "sparse files are expanded in the tree",
  "pax-sparse-1.0": "sparse files are expanded in the tree",
  "pax-neg-mtime": "times before 1970 are valid",
};

function readTar(file: string): Uint8Array {
  const bytes = new Uint8Array(readFileSync(join(FOLDER, file)));
  return file.endsWith(".gz") ? new Uint8Array(gunzipSync(bytes)) : bytes;
}

function toStream(tar: Uint8Array, windowStep: number, shift = 0, algorithm = SHA256): Uint8Array {
  const writer = new SplitstreamWriter(algorithm, "ocilayer");
  for (const { inline, bytes } of splitTar(tar, windowStep, shift).chunks) {
    if (inline) writer.inline(bytes);
    else writer.external(fsVerityDigest(bytes, algorithm), bytes.length);
  }
  return toBytes(writer.finish());
}

function* asLayerEntries(items: Iterable<LayerItem>): Generator<LayerEntry> {
  for (const { entry, inline, object } of items) {
    if (object !== undefined) yield { entry, content: { type: "object", id: object, size: entry.size } };
    else yield { entry, content: { type: "inline", data: byteString(inline) } };
  }
}

function dump(stream: Uint8Array): { text: string; error: string } {
  let text = "";
  try {
    const reader = new SplitstreamReader(memorySource(stream), SHA256);
    for (const line of dumpLayer(asLayerEntries(readLayer(reader.chunks())), () => {
      throw new Error("no sparse files here");
    }))
      text += line;
    return { text, error: "" };
  } catch (error) {
    return { text, error: describeError(error) };
  }
}

describe("layers that the reference imports", () => {
  for (const [name, expected] of cases) {
    if (expected.import_exit !== 0) continue;
    const tar = readTar(expected.file);
    test(`${name}: ${expected.description}`, () => {
      const stream = readFileSync(join(FOLDER, `${name}.sha256.splitstream`));
      for (const [windowStep, shift] of [
        [1, 0],
        [1000, 1],
        [1 << 20, 0],
      ] as const) {
        expect(Buffer.from(toStream(tar, windowStep, shift)).equals(stream)).toBe(true);
      }
      expect(`sha256:${fsVerityDigest(stream, SHA256)}`).toBe(expected.import_stdout.sha256.trim());
      const sha512 = fsVerityDigest(toStream(tar, 4096, 0, SHA512), SHA512);
      expect(`sha512:${sha512}`).toBe(expected.import_stdout.sha512.trim());
    });
    test(`${name}: read back`, () => {
      const { text, error } = dump(toStream(tar, 4096));
      const { dumpfile } = expected;
      expect(text).toBe(typeof dumpfile === "string" ? dumpfile : dumpfile.latin1);
      expect(error).toBe((expected.dumpfile_stderr ?? "").replace(/^Error: /, "").trim());
    });
  }
});

describe("layers that the reference refuses", () => {
  for (const [name, expected] of cases) {
    if (expected.import_exit === 0) continue;
    const tar = readTar(expected.file);
    if (ACCEPTED[name] !== undefined) {
      test(`${name}: accepted: ${ACCEPTED[name]}`, () => {
        const { chunks } = splitTar(tar, 700);
        expect(Buffer.concat(chunks.map(({ bytes }) => bytes)).equals(tar)).toBe(true);
      });
      continue;
    }
    test(`${name}: ${expected.description}`, () => {
      const message = expected.import_stderr.replace(/^Error: /, "").split("\n")[0]!;
      for (const [windowStep, shift] of [
        [1, 0],
        [1 << 20, 3],
      ] as const) {
        let refused = "";
        try {
          splitTar(tar, windowStep, shift);
        } catch (error) {
          refused = describeError(error);
        }
        if (name === "pax-nonutf8-key") expect(refused).toStartWith("PAX key is not UTF-8");
        else if (name === "pax-nonutf8-uid") expect(refused).toStartWith("invalid PAX uid value");
        else expect(refused).toBe(message);
      }
    });
  }
});
