import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { cfsctl, cfsctlBytes, cfsctlOk } from "../support/cfsctl.ts";
import {
  blobPath,
  digestOf,
  type ImageSpec,
  type LayerSpec,
  type WrittenImage,
  writeLayout,
} from "../support/oci-layout.ts";
import { type RepositoryContent, repositoryContent } from "../support/repository-content.ts";
import { directory, file, noise, type TarItem, writeTar } from "../support/tar-writer.ts";
import { type TempDir, tempDirInMemory } from "../support/temp.ts";

/** The first two layers of the good image; faults replace the second or what is around them. */
const LOWER = writeTar([directory("usr/"), file("usr/lower", noise(30_000, 1)), file("usr/small", "small")]);
const ITEMS: readonly TarItem[] = [
  directory("usr/"),
  file("usr/upper", noise(20_000, 2)),
  { path: "usr/link", type: "symlink", target: "upper" },
  file("usr/text", "text ".repeat(3000)),
];
const UPPER = writeTar(ITEMS);
const TAG = "t";

const GOOD: ImageSpec = {
  tag: TAG,
  layers: [{ tar: LOWER }, { tar: UPPER, packing: "zstd" }],
};

/** With this layer, an image is large enough for several threads. */
const BULK: LayerSpec = {
  tar: writeTar([
    directory("usr/"),
    ...Array.from({ length: 200 }, (_, i) => file(`usr/bulk-${i}`, noise(20_000, i))),
  ]),
  packing: "plain",
};

interface Layout {
  readonly path: string;
  readonly image: WrittenImage;
}

interface Fault {
  /** What is published instead of the good image. */
  readonly image?: Partial<ImageSpec>;
  /** What is done to the layout afterwards. */
  readonly damage?: (layout: Layout) => void;
  /** What the error says. */
  readonly says: RegExp;
}

const withUpper = (tar: Uint8Array, more: Partial<ImageSpec["layers"][0]> = {}): Fault["image"] => ({
  layers: [GOOD.layers[0]!, { tar, packing: "gzip", ...more }],
});
const withItems = (...items: TarItem[]) => withUpper(writeTar([...ITEMS, ...items]));
const zipped = Bun.gzipSync(Buffer.from(UPPER));
const frame = Bun.zstdCompressSync(UPPER);

function edit(path: string, change: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path);
  change(bytes);
  writeFileSync(path, bytes);
}
const flip = (at: number) => (bytes: Buffer) => {
  const index = at < 0 ? bytes.length + at : at;
  bytes[index] = bytes[index]! ^ 1;
};
const manifestOf = ({ path, image }: Layout) => blobPath(path, image.manifest);
const configOf = ({ path, image }: Layout) => blobPath(path, image.config);
const layerOf = ({ path, image }: Layout, index = 1) => blobPath(path, image.layers[index]!.digest);
const indexOf = ({ path }: Layout) => join(path, "index.json");
function replace(path: string, by: (path: string) => void): void {
  rmSync(path, { recursive: true });
  by(path);
}
const fifo = (path: string) => void Bun.spawnSync(["mkfifo", path]);

const WRONG_SIZE = /sha256:\w{64}: Expected size \d+ but found \d+/;

const FAULTS: Record<string, Fault> = {
  "a flipped byte in the manifest": {
    damage: (l) => edit(manifestOf(l), flip(-2)),
    says: /Manifest digest mismatch for sha256:/,
  },
  "a flipped byte in the config": {
    damage: (l) => edit(configOf(l), flip(30)),
    says: /Config digest mismatch for sha256:/,
  },
  "a flipped byte in a gzip layer": {
    damage: (l) => edit(layerOf(l, 0), flip(15_000)),
    says: /layer sha256:\w+: damaged gzip data/,
  },
  "a flipped byte in a zstd layer": {
    damage: (l) => edit(layerOf(l), flip(10_000)),
    says: /Blob digest mismatch|damaged zstd data/,
  },
  "a flipped byte in a plain layer": {
    image: withUpper(UPPER, { packing: "plain" }),
    damage: (l) => edit(layerOf(l), flip(3000)),
    says: /Blob digest mismatch for sha256:/,
  },
  "a flipped byte in the time of a gzip header": {
    damage: (l) => edit(layerOf(l, 0), flip(5)),
    says: /Blob digest mismatch for sha256:/,
  },
  "another blob under a layer's name": {
    damage: (l) => cpSync(layerOf(l, 0), layerOf(l)),
    says: WRONG_SIZE,
  },
  "a layer that is cut": { damage: (l) => truncateSync(layerOf(l), 9000), says: WRONG_SIZE },
  "a layer with bytes behind": { damage: (l) => appendFileSync(layerOf(l), "x"), says: WRONG_SIZE },
  "an empty layer file": {
    damage: (l) => truncateSync(layerOf(l), 0),
    says: /Expected size \d+ but found 0/,
  },
  "a gzip stream published cut": {
    image: withUpper(UPPER, { blob: zipped.subarray(0, -3000) }),
    says: /layer sha256:\w+: .*(EOF|too early)/,
  },
  "a gzip stream published without its end": {
    image: withUpper(UPPER, { blob: zipped.subarray(0, -4) }),
    says: /gzip data ends too early/,
  },
  "a gzip stream with a wrong checksum": {
    image: withUpper(UPPER, { blob: Buffer.concat([zipped.subarray(0, -8), Buffer.alloc(8)]) }),
    says: /damaged gzip data/,
  },
  "a gzip stream with text behind": {
    image: withUpper(UPPER, { blob: Buffer.concat([zipped, Buffer.from("text")]) }),
    says: /damaged gzip data/,
  },
  "a zstd stream published cut": {
    image: withUpper(UPPER, { packing: "zstd", blob: frame.subarray(0, -3000) }),
    says: /zstd data ends too early/,
  },
  "a zstd stream with text behind": {
    image: withUpper(UPPER, { packing: "zstd", blob: Buffer.concat([frame, Buffer.from("text")]) }),
    says: /damaged zstd data/,
  },
  "zstd that says gzip": { image: withUpper(UPPER, { blob: frame }), says: /damaged gzip data/ },
  "noise that says gzip": { image: withUpper(UPPER, { blob: noise(5000, 3) }), says: /damaged gzip data/ },
  "noise that says tar": {
    image: withUpper(noise(5120, 3), { packing: "plain" }),
    says: /layer sha256:\w+: header error/,
  },
  "a wrong diff ID": {
    image: { config: (config) => config.rootfs.diff_ids.splice(1, 1, digestOf(LOWER)) },
    says: /Layer sha256:\w+ has incorrect checksum: computed sha256:/,
  },
  "swapped diff IDs": {
    image: { config: (config) => config.rootfs.diff_ids.reverse() },
    says: /Layer sha256:\w+ has incorrect checksum: computed sha256:/,
  },
  "a diff ID that is a path": {
    image: { config: (config) => config.rootfs.diff_ids.splice(1, 1, "sha256:../../../../etc/passwd") },
    says: /config: rootfs: diff_ids\[1\]: Invalid digest length/,
  },
  "fewer diff IDs than layers": {
    image: { config: (config) => config.rootfs.diff_ids.pop() },
    says: /2 layers, but the config names 1 diff IDs/,
  },
  "more diff IDs than layers": {
    image: { config: (config) => config.rootfs.diff_ids.push(digestOf(LOWER)) },
    says: /2 layers, but the config names 3 diff IDs/,
  },
  ...Object.fromEntries(
    [-1, 0, 1.5, 2 ** 60, "12", null].map((size): [string, Fault] => [
      `a layer size of ${JSON.stringify(size)}`,
      {
        image: {
          manifest: ({ layers }) => {
            layers[1]!.size = size as number;
          },
        },
        says: /layer 1: .*"size"|Expected size 0 but found/,
      },
    ]),
  ),
  "a layer size that is one less": {
    image: { manifest: ({ layers }) => layers[1]!.size-- },
    says: WRONG_SIZE,
  },
  "a config size that is one more": {
    image: { manifest: ({ config }) => config.size++ },
    says: WRONG_SIZE,
  },
  "a layer digest that is a path": {
    image: {
      manifest: ({ layers }) => {
        layers[1]!.digest = "sha256:../../../../../../../../etc/passwd";
      },
    },
    says: /layer 1: "digest": Invalid digest length/,
  },
  "a layer digest of an unknown algorithm": {
    image: {
      manifest: ({ layers }) => {
        layers[1]!.digest = `md5:${"0".repeat(32)}`;
      },
    },
    says: /digest algorithm md5 is not supported/,
  },
  "a layer of an unknown type": {
    image: {
      manifest: ({ layers }) => {
        layers[1]!.mediaType = "text/plain";
      },
    },
    says: /layer sha256:\w+ has media type text\/plain/,
  },
  "a layer type with control characters": {
    image: {
      manifest: ({ layers }) => {
        layers[1]!.mediaType = "\x1b[31m\nred";
      },
    },
    says: /has media type \\x1b\[31m red/,
  },
  "a missing manifest": { damage: (l) => rmSync(manifestOf(l)), says: /blobs\/sha256\/\w+ does not exist/ },
  "a missing config": { damage: (l) => rmSync(configOf(l)), says: /blobs\/sha256\/\w+ does not exist/ },
  "a missing layer": { damage: (l) => rmSync(layerOf(l)), says: /blobs\/sha256\/\w+ does not exist/ },
  "a layer that is a link out of the layout": {
    damage: (l) => replace(layerOf(l), (path) => symlinkSync("/etc/passwd", path)),
    says: /blobs\/sha256\/\w+: .*link/,
  },
  "a manifest that is a link out of the layout": {
    damage: (l) => replace(manifestOf(l), (path) => symlinkSync("/etc/passwd", path)),
    says: /blobs\/sha256\/\w+: .*link/,
  },
  "a layer that is an endless device": {
    damage: (l) => replace(layerOf(l), (path) => symlinkSync("/dev/zero", path)),
    says: /blobs\/sha256\/\w+: .*link/,
  },
  "a layer that is a FIFO": {
    damage: (l) => replace(layerOf(l), fifo),
    says: /blobs\/sha256\/\w+ is not a regular file/,
  },
  "a config that is a FIFO": {
    damage: (l) => replace(configOf(l), fifo),
    says: /blobs\/sha256\/\w+ is not a regular file/,
  },
  "a layer that is a directory": {
    damage: (l) => replace(layerOf(l), (path) => mkdirSync(path)),
    says: /blobs\/sha256\/\w+ is not a regular file/,
  },
  "an index that is a FIFO": {
    damage: (l) => replace(indexOf(l), fifo),
    says: /index\.json is not a regular file/,
  },
  "an index that is a directory": {
    damage: (l) => replace(indexOf(l), (path) => mkdirSync(path)),
    says: /index\.json is not a regular file/,
  },
  "an index that is an endless device": {
    damage: (l) => replace(indexOf(l), (path) => symlinkSync("/dev/zero", path)),
    says: /index\.json: .*link/,
  },
  "an index of a gigabyte": {
    damage: (l) => truncateSync(indexOf(l), 2 ** 30),
    says: /index\.json is larger than/,
  },
  "an index that is no JSON": {
    damage: (l) => writeFileSync(indexOf(l), "{"),
    says: /index\.json is not JSON/,
  },
  "an index that is empty": { damage: (l) => writeFileSync(indexOf(l), ""), says: /index\.json is not JSON/ },
  "an index that is a list": {
    damage: (l) => writeFileSync(indexOf(l), "[]"),
    says: /index\.json is not an object/,
  },
  "an index that nests deeply": {
    damage: (l) => writeFileSync(indexOf(l), "[".repeat(1_000_000)),
    says: /index\.json is not JSON/,
  },
  "an index without manifests": {
    damage: (l) => writeFileSync(indexOf(l), '{"schemaVersion":2}'),
    says: /index\.json: missing field "manifests"/,
  },
  "no blobs": {
    damage: ({ path }) => rmSync(join(path, "blobs"), { recursive: true }),
    says: /blobs\/sha256\/\w+ does not exist/,
  },
  "no layout": {
    damage: ({ path }) => rmSync(path, { recursive: true }),
    says: /bad-no-layout: No such file/,
  },
  "blobs that are a file": {
    damage: ({ path }) => replace(join(path, "blobs"), (blobs) => writeFileSync(blobs, "")),
    says: /blobs\/sha256\/\w+: Not a directory/,
  },
  "an entry above the root": {
    image: withItems(file("../x", "x")),
    says: /layer entry \.\.\/x: Invalid filename/,
  },
  "an entry above the root, later in the path": {
    image: withItems(file("usr/../../x", "x")),
    says: /layer entry usr\/\.\.\/\.\.\/x: Invalid filename/,
  },
  "a hard link above the root": {
    image: withItems({ path: "usr/h", type: "hardlink", target: "../../etc/passwd" }),
    says: /layer entry usr\/h: hard link: Invalid filename "\.\.\/\.\.\/etc\/passwd"/,
  },
  "a hard link to a file of the host": {
    image: withItems({ path: "usr/h", type: "hardlink", target: "/etc/passwd" }),
    says: /layer entry usr\/h: hard link to "\/etc\/passwd"/,
  },
  "a hard link to a directory": {
    image: withItems({ path: "usr/h", type: "hardlink", target: "usr" }),
    says: /hard link to "usr", which is a directory/,
  },
  "an entry below a symlink to the host": {
    image: withItems({ path: "etc", type: "symlink", target: "/etc" }, file("etc/passwd", "x")),
    says: /layer entry etc\/passwd: .*not a subdirectory/,
  },
  "a name with a NUL byte": {
    image: withItems(file(`usr/${"n".repeat(120)}\0x`, "x")),
    says: /layer entry usr\/n+\\x00x: the name contains a NUL byte/,
  },
  "a link target with a NUL byte": {
    image: withItems({ path: "usr/l", type: "symlink", target: `${"n".repeat(120)}\0x` }),
    says: /layer entry usr\/l: the link target contains a NUL byte/,
  },
  "a name of 5,000 bytes": {
    image: withItems(file(`usr/${"n".repeat(5000)}`, "x")),
    says: /file name "n+…" is 5000 bytes long/,
  },
  "a link target of 5,000 bytes": {
    image: withItems({ path: "usr/l", type: "symlink", target: "n".repeat(5000) }),
    says: /\/usr\/l: symlink target of 5000 bytes/,
  },
  "a path of 5,000 directories": {
    image: withItems(file(`${"d/".repeat(5000)}f`, "x")),
    says: /layer entry d\/.*deeper than \d+ directories/,
  },
  "a file said to have 2^60 bytes": {
    image: withItems(file("usr/huge", "", { claimedSize: 1n << 60n })),
    says: /unexpected EOF reading tar entry/,
  },
  "a file said to have 2^63 bytes": {
    image: withItems(file("usr/huge", "", { claimedSize: 1n << 63n })),
    says: /unexpected EOF reading tar entry|size/,
  },
  "a directory said to have 2^60 bytes": {
    image: withItems(directory("usr/huge", { claimedSize: 1n << 60n })),
    says: /unexpected EOF reading tar entry/,
  },
  "an extended attribute larger than an image can hold": {
    image: withItems(file("usr/x", "", { xattrs: { "security.capability": "x".repeat(70_000) } })),
    says: /\/usr\/x: xattr value of 70000 bytes/,
  },
  "a tar that ends in a header": {
    image: withUpper(UPPER.subarray(0, 700)),
    says: /layer sha256:\w+: unexpected EOF/,
  },
  "a tar that ends in a file": {
    image: withUpper(UPPER.subarray(0, 5000)),
    says: /layer sha256:\w+: unexpected EOF/,
  },
  "a header with a wrong checksum": {
    image: withUpper(Buffer.concat([UPPER.subarray(0, -1024), Buffer.alloc(512, 1), UPPER.subarray(-1024)])),
    says: /layer sha256:\w+: header error/,
  },
};

/** What threads come across. */
const IN_THREADS = [
  "a flipped byte in a gzip layer",
  "a flipped byte in a zstd layer",
  "a gzip stream published cut",
  "a zstd stream published cut",
  "noise that says gzip",
  "noise that says tar",
  "a wrong diff ID",
  "swapped diff IDs",
  "an entry above the root",
  "a hard link above the root",
  "a name of 5,000 bytes",
  "a file said to have 2^60 bytes",
  "a tar that ends in a file",
];

interface Good {
  readonly layout: string;
  readonly content: RepositoryContent;
  readonly pulled: string;
}

let scratch: TempDir;
let good: Good;
let goodBulk: Good;

beforeAll(() => {
  scratch = tempDirInMemory(100e6);
  good = pullGood("good", GOOD);
  goodBulk = pullGood("good-bulk", withBulk(GOOD));
});
afterAll(() => scratch[Symbol.dispose]());

const withBulk = (image: ImageSpec): ImageSpec => ({ ...image, layers: [...image.layers, BULK] });

function pullGood(layout: string, image: ImageSpec): Good {
  writeLayout(scratch.join(layout), [image]);
  const repository = newRepository(`never-harmed-${layout}`);
  const pulled = pull(repository, layout);
  return { layout, content: cleaned(repository), pulled };
}

function pull(repository: string, layout: string): string {
  return cfsctlOk(["--repo", repository, "oci", "pull", `oci:${layout}:${TAG}`, "n"], { cwd: scratch.path });
}

function newRepository(name: string): string {
  cfsctlOk(["--repo", scratch.join(name), "init", "--insecure"]);
  return scratch.join(name);
}

function cleaned(repository: string): RepositoryContent {
  cfsctlOk(["--repo", repository, "gc"]);
  return repositoryContent(repository, "sha512");
}

const PROGRESS = /^(sha256:[0-9a-f]{64}(: done)?|total\b).*$/;

/** Fails with one line that says why, and perhaps a hint. */
function expectRefused(repository: string, layout: string, says: RegExp): void {
  const { code, stdout, stderr } = cfsctl(
    ["--repo", repository, "oci", "pull", `oci:${layout}:${TAG}`, "n"],
    {
      cwd: scratch.path,
      timeoutMs: 20_000,
    },
  );
  const lines = stderr.split("\n").filter((line) => line !== "" && !PROGRESS.test(line));
  expect({ code, stdout, lines: lines.length }, stderr).toEqual({
    code: 1,
    stdout: "",
    lines: lines.length === 2 ? 2 : 1,
  });
  expect(lines[0]).toStartWith("cfsctl: error: ");
  if (lines.length > 1) expect(lines[1]).toStartWith("hint: ");
  expect(lines[0]!.length).toBeLessThan(1500);
  expect(lines[0]).toMatch(says);
}

function names(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}

/** A repository refuses the faulty image, has nothing of it afterwards, and takes the good one. */
function refuseThenPull({ image, damage, says }: Fault, name: string, goodOne: Good): void {
  const layout = `bad-${name.replaceAll(/\W/g, "-")}`;
  const path = scratch.join(layout);
  const spec = { ...GOOD, ...image };
  const [written] = writeLayout(path, [goodOne === goodBulk ? withBulk(spec) : spec]);
  damage?.({ path, image: written! });
  const repository = newRepository(`repository-${layout}`);
  expectRefused(repository, layout, says);

  expect(names(join(repository, "streams", "refs"))).toEqual([]);
  expect(names(join(repository, "images"))).toEqual([]);
  cfsctlOk(["--repo", repository, "oci", "fsck"]);
  for (const stream of names(join(repository, "streams"))) {
    const diffId = /^oci-layer-(.*)$/.exec(stream)?.[1];
    if (diffId === undefined) continue;
    expect(digestOf(cfsctlBytes(["--repo", repository, "cat", stream]).stdout)).toBe(diffId);
  }
  const firstLines = (stdout: string) => stdout.split("\n").slice(0, 4);
  expect(firstLines(pull(repository, goodOne.layout))).toEqual(firstLines(goodOne.pulled));
  cfsctlOk(["--repo", repository, "oci", "fsck"]);
  expect(cleaned(repository)).toEqual(goodOne.content);
  rmSync(path, { recursive: true, force: true });
  rmSync(repository, { recursive: true });
}

describe("a pull is refused, and leaves nothing behind that is named, for", () => {
  test.each(Object.entries(FAULTS))("%s", (name, fault) => refuseThenPull(fault, name, good), 30_000);

  test.each(IN_THREADS)(
    "%s, met by one of several threads",
    (name) => refuseThenPull(FAULTS[name]!, name, goodBulk),
    30_000,
  );
});
