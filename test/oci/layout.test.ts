import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describeError } from "../../src/errors.ts";
import { OCI_CONFIG, OCI_INDEX, OCI_MANIFEST } from "../../src/oci/media-types.ts";
import { openSource } from "../../src/oci/open-source.ts";
import { parsePlatform } from "../../src/oci/platform.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { LayoutArchive } from "../../src/oci/transport/layout-archive.ts";
import { Fd } from "../../src/sys/fd.ts";
import { O_DIRECTORY, O_RDONLY, open } from "../../src/sys/file.ts";
import { Scratch } from "../repository/support.ts";
import { END, header, member, paxHeader } from "../tar/split.ts";

/** Writes layouts by hand. */
class Layout {
  readonly path: string;
  constructor(scratch: Scratch) {
    this.path = scratch.mkdir("layout");
    mkdirSync(join(this.path, "blobs/sha256"), { recursive: true });
  }

  blob(value: unknown, mediaType: string): { mediaType: string; digest: string; size: number } {
    const bytes = Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
    const hex = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(this.blobPath(`sha256:${hex}`), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  }

  blobPath(digest: string): string {
    return join(this.path, "blobs/sha256", digest.slice("sha256:".length));
  }

  image(architecture: string, extra: object = {}): { mediaType: string; digest: string; size: number } {
    const config = this.blob(
      { architecture, os: "linux", rootfs: { type: "layers", diff_ids: [] } },
      OCI_CONFIG,
    );
    return this.blob(
      { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [], ...extra },
      OCI_MANIFEST,
    );
  }

  index(...manifests: object[]): void {
    writeFileSync(join(this.path, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
  }

  async select(tag = "", platform = "linux/amd64"): Promise<string> {
    using directory = open(dirname(this.path), O_RDONLY | O_DIRECTORY);
    try {
      const reference = parseReference(`oci:${this.path}:${tag}`);
      using source = openSource(reference, directory.fd, { platform: parsePlatform(platform) });
      return (await source.manifest()).digest;
    } catch (error) {
      return describeError(error);
    }
  }
}

describe("choosing an image", () => {
  test("by platform, variant and tag", async () => {
    using scratch = new Scratch();
    const layout = new Layout(scratch);
    const [amd, arm6, arm7] = [
      layout.image("amd64"),
      layout.image("arm", { a: 6 }),
      layout.image("arm", { a: 7 }),
    ];
    const nested = layout.blob(
      {
        schemaVersion: 2,
        manifests: [
          { ...arm6, platform: { os: "linux", architecture: "arm", variant: "v6" } },
          { ...arm7, platform: { os: "linux", architecture: "arm", variant: "v7" } },
        ],
      },
      OCI_INDEX,
    );
    layout.index(nested, { ...amd, annotations: { "org.opencontainers.image.ref.name": "t" } });
    expect(await layout.select()).toBe(amd.digest);
    expect(await layout.select("t")).toBe(amd.digest);
    expect(await layout.select("", "linux/arm/v7")).toBe(arm7.digest);
    expect(await layout.select("", "linux/arm")).toBe(arm6.digest);
    expect(await layout.select("u")).toContain("Tag 'u' not found in image index");
    expect(await layout.select("", "linux/s390x")).toContain(
      "No manifest found for platform linux/s390x; available: linux/arm/v6, linux/arm/v7, linux/amd64",
    );
  });

  test("an artifact only when no image fits", async () => {
    using scratch = new Scratch();
    const layout = new Layout(scratch);
    const config = layout.blob({}, "application/vnd.oci.empty.v1+json");
    const artifact = layout.blob({ schemaVersion: 2, config, layers: [] }, OCI_MANIFEST);
    const image = layout.image("amd64");
    layout.index(artifact, image);
    expect(await layout.select()).toBe(image.digest);
    layout.index(artifact);
    expect(await layout.select()).toBe(artifact.digest);
  });
});

describe("hostile and damaged layouts", () => {
  test.each<[string, (layout: Layout, digest: string) => void, string]>([
    [
      "no index",
      (layout) => rmSync(join(layout.path, "index.json")),
      "Cannot find the Image Index (index.json)",
    ],
    [
      "an index that is no JSON",
      (layout) => writeFileSync(join(layout.path, "index.json"), "{"),
      "index.json is not JSON",
    ],
    ["an index without manifests", (layout) => layout.index(), "Image index contains no manifests"],
    [
      "an index of nothing",
      (layout) => writeFileSync(join(layout.path, "index.json"), "{}"),
      'missing field "manifests"',
    ],
    [
      "a digest that is a path",
      (layout) => layout.index({ mediaType: OCI_MANIFEST, digest: "x:../../../etc/passwd", size: 1 }),
      "Invalid encoded value",
    ],
    [
      "a negative size",
      (layout, digest) => layout.index({ mediaType: OCI_MANIFEST, digest, size: -1 }),
      "must be a size",
    ],
    [
      "an enormous size",
      (layout, digest) => layout.index({ mediaType: OCI_MANIFEST, digest, size: 2 ** 50 }),
      "at most 4194304 are read",
    ],
    [
      "a size that differs",
      (layout, digest) => layout.index({ mediaType: OCI_MANIFEST, digest, size: 12 }),
      "Expected size 12 but found",
    ],
    [
      "another digest",
      (layout, digest) => renameSync(layout.blobPath(digest), layout.blobPath(`sha256:${"a".repeat(64)}`)),
      "does not exist",
    ],
    [
      "changed content",
      (layout, digest) => {
        const bytes = readFileSync(layout.blobPath(digest));
        bytes[0]! ^= 1;
        writeFileSync(layout.blobPath(digest), bytes);
      },
      "Manifest digest mismatch",
    ],
    [
      "a link instead of a blob",
      (layout, digest) => {
        renameSync(layout.blobPath(digest), join(layout.path, "..", "elsewhere"));
        symlinkSync("../../../elsewhere", layout.blobPath(digest));
      },
      "ELOOP",
    ],
    [
      "a link to the blobs",
      (layout) => {
        renameSync(join(layout.path, "blobs"), join(layout.path, "..", "blobs"));
        symlinkSync("../blobs", join(layout.path, "blobs"));
      },
      "ELOOP",
    ],
    [
      "a FIFO instead of a blob",
      (layout, digest) => {
        rmSync(layout.blobPath(digest));
        Bun.spawnSync(["mkfifo", layout.blobPath(digest)]);
      },
      "is not a regular file",
    ],
    [
      "a directory instead of a blob",
      (layout, digest) => {
        rmSync(layout.blobPath(digest));
        mkdirSync(layout.blobPath(digest));
      },
      "is not a regular file",
    ],
  ])("%s", async (_, damage, message) => {
    using scratch = new Scratch();
    const layout = new Layout(scratch);
    const image = layout.image("amd64");
    layout.index(image);
    damage(layout, image.digest);
    const answer = await layout.select();
    expect(answer).not.toStartWith("sha256:");
    if (message === "ELOOP") expect(answer).toContain("Too many levels of symbolic links");
    else expect(answer).toContain(message);
  });
});

describe("archives", () => {
  function open_(scratch: Scratch, bytes: Uint8Array): LayoutArchive {
    writeFileSync(scratch.join("a.tar"), bytes);
    const directory = open(scratch.path, O_RDONLY | O_DIRECTORY);
    try {
      return new LayoutArchive(scratch.join("a.tar"), directory.fd);
    } finally {
      directory.close();
    }
  }
  const body = new Uint8Array(100_000).fill(7);
  const archive = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat([...parts, END]));

  test("members are found where they are, the last of a name", () => {
    using scratch = new Scratch();
    const tar = archive(
      member({ name: "./blobs//x" }, body),
      member({ name: "y" }, body.subarray(0, 10)),
      paxHeader([["path", "blobs/z"]]),
      member({ name: "short" }, body.subarray(0, 5000)),
      member({ name: "y" }, body.subarray(0, 20)),
    );
    using files = open_(scratch, tar);
    using x = files.open("blobs/x");
    using y = files.open("y");
    using z = files.open("blobs/z");
    expect([x.offset, x.size, y.size, z.size]).toEqual([512, 100_000, 20, 5000]);
    expect(() => files.open("short")).toThrow("not found in archive: short");
  });

  test.each<[string, Uint8Array, string]>([
    ["an empty file", new Uint8Array(0), "not found in archive: x"],
    [
      "a body that is cut",
      archive(member({ name: "x" }, body)).slice(0, 5000),
      "unexpected EOF reading tar entry",
    ],
    [
      "a size beyond the file",
      archive(header({ name: "x", size: 2 ** 32 })),
      "unexpected EOF reading tar entry",
    ],
    ["a link", archive(header({ name: "x", type: "2", link: "/etc/passwd" })), "not found in archive: x"],
    ["xz", new Uint8Array(Buffer.from("fd377a585a000004", "hex")), "compressed with xz are not supported"],
    ["gzip that is cut", Bun.gzipSync(body).slice(0, 50), "gzip data ends too early"],
    ["no archive", new Uint8Array(5000).fill(65), "header error"],
  ])("%s", (_, bytes, message) => {
    using scratch = new Scratch();
    expect(() => {
      try {
        using files = open_(scratch, bytes);
        files.open("x");
      } catch (error) {
        throw new Error(describeError(error));
      }
    }).toThrow(message);
  });

  test("a FIFO is refused at once", () => {
    using scratch = new Scratch();
    using directory = open(scratch.path, O_RDONLY | O_DIRECTORY);
    Bun.spawnSync(["mkfifo", scratch.join("fifo")]);
    expect(() => new LayoutArchive(scratch.join("fifo"), directory.fd)).toThrow("OCI archive");
  });

  test("no descriptor is left behind by a failure", () => {
    using scratch = new Scratch();
    const before = open(scratch.path, O_RDONLY | O_DIRECTORY).release();
    new Fd(before, "").close();
    for (let i = 0; i < 3; i++) expect(() => open_(scratch, new Uint8Array(5000).fill(65))).toThrow();
    const after = open(scratch.path, O_RDONLY | O_DIRECTORY).release();
    new Fd(after, "").close();
    expect(after).toBe(before);
  });
});
