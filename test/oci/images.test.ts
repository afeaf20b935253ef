import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeImage } from "../../src/erofs/writer.ts";
import { describeError } from "../../src/errors.ts";
import { checkImages } from "../../src/oci/fsck.ts";
import { imageTree } from "../../src/oci/image-tree.ts";
import { lookUpTag } from "../../src/oci/tags.ts";
import { checkRepository } from "../../src/repository/fsck.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { openStream } from "../../src/repository/streams.ts";
import { dumpTree } from "../../src/tree/dump.ts";
import type { XattrFilter } from "../../src/tree/transform.ts";
import { type Algorithm, type ObjectId, SHA256, SHA512 } from "../../src/verity/digest.ts";
import { fsVerityDigest } from "../../src/verity/merkle.ts";
import { Scratch } from "../repository/support.ts";
import { FIXTURES, newRepository, pull, unpack } from "./support.ts";

interface Expected {
  description: string;
  file: string;
  pull: Record<"sha256" | "sha512", { exit: number; stdout: string; stderr: string }>;
  streams?: Record<"sha256" | "sha512", Record<string, { object_id: ObjectId; stream_refs: ObjectId[] }>>;
  images_dir?: Record<"sha256" | "sha512", string[]>;
  "compute-id"?: Record<"sha256" | "sha512", Record<string, ObjectId>>;
  dump?: string | { latin1: string };
  "dump --xattrs keep-user-xattrs"?: string | { latin1: string };
  "dump --bootable"?: string | { latin1: string };
}

const IMAGES = join(FIXTURES, "images");
const cases: [string, Expected][] = Object.entries(
  JSON.parse(readFileSync(join(IMAGES, "expected.json"), "utf8")),
);

/** Accepted by composefs-rs 0.9.4, refused here; the text that says why. */
const TAMPERED: Record<string, string> = {
  "diffid-mismatch": "has incorrect checksum",
  "layer-tampered": "Blob digest mismatch",
  "config-tampered": "Config digest mismatch",
  "manifest-tampered": "Manifest digest mismatch",
};

/** Refused by composefs-rs 0.9.4, accepted here, and why; lines that the dump must have. */
const ACCEPTED: Record<string, { why: string; lines?: string[] }> = {
  "no-usr": { why: "an image needs no /usr" },
  "usr-symlink": { why: "/usr may be a link: the root keeps its own metadata" },
  "usr-file": { why: "an image needs no /usr directory" },
  "run-file": { why: "/run is emptied only when it is a directory" },
  "missing-parent": {
    why: "directories that no entry describes belong to root, with mode 0755 and time 0",
    lines: ["/no 0 40755 3 0 0 0 0.0 - - -", "/no/such 0 40755 2 0 0 0 0.0 - - -"],
  },
  "missing-parent-dir": {
    why: "the same for directories",
    lines: ["/no 0 40755 3 0 0 0 0.0 - - -", "/no/such 0 40755 3 0 0 0 0.0 - - -"],
  },
  "whiteout-missing-parent": { why: "there is nothing to remove" },
  sparse: { why: "sparse files are expanded" },
  "docker-layer-type": { why: "docker's layer types are tars too" },
  "docker-manifest": { why: "docker's manifests are read" },
  "gzip-trailing-zeros": {
    why: "zero padding after the gzip data is harmless; the layer's digest is verified",
  },
  "artifact-noplatform": { why: "an artifact is for any platform" },
};

function text(value: string | { latin1: string }): string {
  return typeof value === "string" ? value : value.latin1;
}

function dump(repository: Repository, xattrs: XattrFilter, bootable = false): string {
  return [...dumpTree(imageTree(repository, "img:1", { xattrs, bootable }))].join("");
}

function streamIds(repository: Repository, path: string): Record<string, ObjectId> {
  const ids: Record<string, ObjectId> = {};
  for (const name of readdirSync(join(path, "streams")).filter((name) => name !== "refs")) {
    using stream = openStream(repository, name);
    ids[name] = stream.id;
  }
  return ids;
}

/** Nothing may lead to what was refused. */
function expectNothingLinked(repository: Repository, path: string): void {
  expect(lookUpTag(repository, "img:1")).toBeUndefined();
  for (const kind of ["oci-config-", "oci-manifest-"]) {
    const names = Object.keys(streamIdsIfAny(repository, path));
    expect(names.filter((name) => name.startsWith(kind))).toEqual([]);
  }
}

function streamIdsIfAny(repository: Repository, path: string): Record<string, ObjectId> {
  try {
    return streamIds(repository, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw error;
  }
}

async function expectIntact(repository: Repository): Promise<void> {
  expect((await checkRepository(repository)).errors).toEqual([]);
  expect(checkImages(repository)).toEqual({ imagesChecked: 1, imagesCorrupted: 0, faults: [], errors: [] });
}

for (const algorithm of [SHA256, SHA512] as Algorithm[]) {
  const { hash } = algorithm;
  describe(`images in a ${hash} repository`, () => {
    for (const [name, expected] of cases) {
      const reference = `oci-archive:${join(IMAGES, expected.file)}:t`;
      const refusal = TAMPERED[name];
      if (refusal !== undefined) {
        test(`${name}: refused`, async () => {
          using scratch = new Scratch();
          using repository = newRepository(scratch.join("r"), algorithm);
          await expect(pull(repository, reference, { tag: "img:1" }).catch((e) => describeError(e))).resolves.toContain(refusal); // biome-ignore format: one statement
          expectNothingLinked(repository, scratch.join("r"));
        });
        continue;
      }
      if (expected.pull[hash].exit !== 0 && ACCEPTED[name] !== undefined) {
        const { why, lines } = ACCEPTED[name];
        test(`${name}: accepted: ${why}`, async () => {
          using scratch = new Scratch();
          using repository = newRepository(scratch.join("r"), algorithm);
          await pull(repository, reference, { tag: "img:1" });
          await expectIntact(repository);
          if (lines !== undefined) expect(dump(repository, "allowlist-only").split("\n")).toEqual(expect.arrayContaining(lines)); // biome-ignore format: short
        });
        continue;
      }
      if (expected.pull[hash].exit !== 0) {
        test(`${name}: ${expected.description}: refused`, async () => {
          using scratch = new Scratch();
          using repository = newRepository(scratch.join("r"), algorithm);
          const error = await pull(repository, reference, { tag: "img:1" }).then(
            () => "",
            (e) => describeError(e),
          );
          expect(error).not.toBe("");
          expectNothingLinked(repository, scratch.join("r"));
        });
        continue;
      }

      test(`${name}: ${expected.description}`, async () => {
        using scratch = new Scratch();
        const path = scratch.join("r");
        using repository = newRepository(path, algorithm);
        const report = await pull(repository, reference, { tag: "img:1" });
        const lines = expected.pull[hash].stdout.split("\n");
        expect(lines.slice(0, 2)).toEqual([`manifest ${report.manifest}`, `config   ${report.config}`]);
        const { newObjects, presentObjects } = report.statistics;
        expect(lines[4]).toStartWith(
          `objects  ${newObjects} new + ${presentObjects} already present objects;`,
        );

        const streams = Object.entries(expected.streams![hash]);
        expect(streamIds(repository, path)).toEqual(
          Object.fromEntries(streams.map(([stream, { object_id }]) => [stream, object_id])),
        );
        expect(report.verity).toBe(expected.streams![hash][`oci-manifest-${report.manifest}`]!.object_id);
        const images = expected.images_dir![hash];
        if (images.length > 0)
          expect(readdirSync(join(path, "images")).filter((image) => image !== "refs")).toEqual(images);
        await expectIntact(repository);

        for (const [form, id] of Object.entries(expected["compute-id"]?.[hash] ?? {})) {
          const bootable = form.includes("--bootable");
          const xattrs = form.includes("keep-user-xattrs") ? "keep-user-xattrs" : "allowlist-only";
          const version = Number(form[1]) as 0 | 1 | 2;
          const image = writeImage(imageTree(repository, "img:1", { xattrs, bootable }), version, algorithm);
          expect(`${form}: ${fsVerityDigest(image, algorithm)}`).toBe(`${form}: ${id}`);
        }
        if (algorithm !== SHA256 || expected.dump === undefined) return;
        expect(dump(repository, "allowlist-only")).toBe(text(expected.dump));
        expect(dump(repository, "keep-user-xattrs")).toBe(
          text(expected["dump --xattrs keep-user-xattrs"] ?? expected.dump),
        );
        const bootable = expected["dump --bootable"];
        if (bootable !== undefined) expect(dump(repository, "allowlist-only", true)).toBe(text(bootable));
      });
    }
  });
}

describe("ways to the same image", () => {
  test("a directory, a plain archive and compressed ones", async () => {
    using scratch = new Scratch();
    const file = join(IMAGES, "basic.tar");
    unpack(file, scratch.join("layout"));
    await Bun.write(scratch.join("a.tar.gz"), Bun.gzipSync(readFileSync(file)));
    await Bun.write(scratch.join("a.tar.zst"), Bun.zstdCompressSync(readFileSync(file)));
    using repository = newRepository(scratch.join("r"), SHA256);
    const references = [
      `oci:${scratch.join("layout")}:t`,
      `oci:${scratch.join("layout")}`,
      `oci-archive:${file}`,
      `oci-archive:${scratch.join("a.tar.gz")}:t`,
      `oci-archive:${scratch.join("a.tar.zst")}:t`,
    ];
    const reports = [];
    for (const reference of references) reports.push(await pull(repository, reference));
    expect(new Set(reports.map(({ verity }) => verity)).size).toBe(1);
    expect(reports.map(({ unchanged }) => unchanged)).toEqual([false, true, true, true, true]);
  });

  test("a V0 repository links its image like one of version 1", async () => {
    using scratch = new Scratch();
    using repository = newRepository(scratch.join("r"), SHA256, 0);
    await pull(repository, `oci-archive:${join(IMAGES, "basic.tar")}:t`, { tag: "img:1" });
    expect(readdirSync(scratch.join("r/images")).filter((image) => image !== "refs")).toEqual([
      "f05b9cd1ce87891f672bd7f58143bd3da7eca0ba71d4c1d68f38f7c5024bb7e4",
    ]);
    await expectIntact(repository);
  });
});
