import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { CfsError } from "../../src/errors.ts";
import { memorySource, SplitstreamReader } from "../../src/splitstream/reader.ts";
import { SplitstreamWriter, toBytes } from "../../src/splitstream/writer.ts";
import { type Algorithm, type ObjectId, SHA256, SHA512 } from "../../src/verity/digest.ts";
import { fsVerityDigest } from "../../src/verity/merkle.ts";

const FOLDER = join(import.meta.dir, "../../fixtures/splitstream");

interface Decoded {
  header: { algorithm: number };
  info: { content_type_ascii: string; stream_size: number };
  stream_refs: ObjectId[];
  object_refs: ObjectId[];
  named_refs_plain: unknown[];
  chunks: ({ inline: number; sha256: string } | { external: number })[];
  object_id: string;
}

const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");

/** The chunks with neighbouring inline pieces joined. */
function joined(reader: SplitstreamReader): (Uint8Array | { id: ObjectId; index: number })[] {
  const chunks: (Uint8Array | { id: ObjectId; index: number })[] = [];
  for (const chunk of reader.chunks()) {
    const last = chunks.at(-1);
    if ("object" in chunk) chunks.push({ id: chunk.object, index: chunk.index });
    else if (last instanceof Uint8Array) chunks[chunks.length - 1] = Buffer.concat([last, chunk.inline]);
    else chunks.push(chunk.inline.slice());
  }
  return chunks;
}

describe("streams written by the reference", () => {
  for (const file of readdirSync(FOLDER).filter((name) => name.endsWith(".splitstream"))) {
    const bytes = new Uint8Array(readFileSync(join(FOLDER, file)));
    const want = JSON.parse(
      readFileSync(join(FOLDER, file.replace(".splitstream", ".json")), "utf8"),
    ) as Decoded;
    const algorithm = want.header.algorithm === 1 ? SHA256 : SHA512;
    const reader = new SplitstreamReader(memorySource(bytes), algorithm);

    test(`${file} is read`, () => {
      expect(`${algorithm.hash}:${fsVerityDigest(bytes, algorithm)}`).toBe(want.object_id);
      expect(reader.contentType).toBe(want.info.content_type_ascii);
      expect(reader.streamSize).toBe(BigInt(want.info.stream_size));
      expect([...reader.streamRefs]).toEqual(want.stream_refs);
      expect([...reader.objectRefs]).toEqual(want.object_refs);
      const chunks = joined(reader).map((chunk) =>
        chunk instanceof Uint8Array
          ? { inline: chunk.length, sha256: sha256(chunk) }
          : { external: chunk.index },
      );
      expect(chunks as unknown[]).toEqual(
        want.chunks.map((c) => ("inline" in c ? { inline: c.inline, sha256: c.sha256 } : c)),
      );
    });

    test(`${file} is written byte for byte`, () => {
      const chunks = joined(reader);
      const inlineTotal = chunks.reduce((sum, c) => sum + (c instanceof Uint8Array ? c.length : 0), 0);
      let externalLeft = Number(reader.streamSize) - inlineTotal;
      const writer = new SplitstreamWriter(algorithm, reader.contentType);
      const byId = new Map([...reader.namedRefs].map(([name, id]) => [id, name]));
      for (const id of reader.streamRefs)
        if (!byId.has(id)) throw new Error("unnamed stream ref in a vector");
      // The order in which names were added is that of the table of streams.
      for (const id of reader.streamRefs) {
        for (const [name, target] of reader.namedRefs) if (target === id) writer.addNamedRef(name, id);
      }
      for (const chunk of chunks) {
        if (!(chunk instanceof Uint8Array)) {
          writer.external(chunk.id, externalLeft);
          externalLeft = 0;
        } else {
          for (let at = 0; at < chunk.length; at += 700) writer.inline(chunk.subarray(at, at + 700));
        }
      }
      const made = toBytes(writer.finish());
      expect(made.findIndex((byte, i) => byte !== bytes[i])).toBe(-1);
      expect(made.length).toBe(bytes.length);
    });
  }
});

function idOf(n: number, algorithm: Algorithm): ObjectId {
  return n.toString(16).padStart(algorithm.size * 2, "0") as ObjectId;
}

test("what was written is read back", () => {
  const item = fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 2000 }), fc.integer({ min: 0, max: 5 }));
  fc.assert(
    fc.property(
      fc.array(item, { maxLength: 30 }),
      fc.dictionary(
        fc.string({ unit: "binary" }).filter((s) => !s.includes("\0") && s.isWellFormed()),
        fc.integer({ min: 0, max: 3 }),
      ),
      fc.constantFrom(SHA256, SHA512),
      (items, names, algorithm) => {
        const writer = new SplitstreamWriter(algorithm, "ocilayer");
        for (const [name, n] of Object.entries(names)) writer.addNamedRef(name, idOf(n, algorithm));
        for (const i of items)
          typeof i === "number" ? writer.external(idOf(i, algorithm), 100 + i) : writer.inline(i);
        const reader = new SplitstreamReader(memorySource(toBytes(writer.finish())), algorithm);
        expect(Object.fromEntries(reader.namedRefs) as Record<string, string>).toEqual(
          Object.fromEntries(Object.entries(names).map(([name, n]) => [name, idOf(n, algorithm)])),
        );
        const flat = joined(reader).map((c) =>
          c instanceof Uint8Array ? Buffer.from(c).toString("hex") : c.id,
        );
        const wanted: string[] = [];
        let inline = "";
        for (const i of items) {
          if (typeof i !== "number") inline += Buffer.from(i).toString("hex");
          else {
            if (inline !== "") wanted.push(inline);
            inline = "";
            wanted.push(idOf(i, algorithm));
          }
        }
        if (inline !== "") wanted.push(inline);
        expect(flat).toEqual(wanted);
        const size = items.reduce<number>((sum, i) => sum + (typeof i === "number" ? 100 + i : i.length), 0);
        expect(reader.streamSize).toBe(BigInt(size));
      },
    ),
  );
});

test("damaged files give an error or other content, nothing else", () => {
  const file = readdirSync(FOLDER).find(
    (name) => name.startsWith("oci-layer") && name.endsWith("256.splitstream"),
  )!;
  const bytes = new Uint8Array(readFileSync(join(FOLDER, file)));
  const change = fc.record({ at: fc.nat(bytes.length - 1), to: fc.nat(255) });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), fc.nat(bytes.length), (changes, length) => {
      const damaged = bytes.slice(0, changes.length % 2 === 0 ? length : bytes.length);
      for (const { at, to } of changes) if (at < damaged.length) damaged[at] = to;
      try {
        const reader = new SplitstreamReader(memorySource(damaged), SHA256);
        for (const chunk of reader.chunks()) void chunk;
      } catch (error) {
        expect(error).toBeInstanceOf(CfsError);
      }
    }),
    { numRuns: 500 },
  );
});
