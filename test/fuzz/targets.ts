import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, zstdCompressSync } from "node:zlib";
import { checkStructure } from "../../src/erofs/canonical.ts";
import { collectObjects } from "../../src/erofs/collect.ts";
import { listImage } from "../../src/erofs/list-image.ts";
import { dumpLineOf } from "../../src/erofs/list-text.ts";
import { readImage } from "../../src/erofs/reader.ts";
import { scanObjectDigests } from "../../src/erofs/scan.ts";
import { writeImage } from "../../src/erofs/writer.ts";
import { parseConfig } from "../../src/oci/config.ts";
import { tarDiffMagic } from "../../src/oci/delta/format.ts";
import { TarDiffReader } from "../../src/oci/delta/summary.ts";
import { parseIndex } from "../../src/oci/index.ts";
import { parseManifest } from "../../src/oci/manifest.ts";
import { parsePolicy } from "../../src/oci/policy/policy-file.ts";
import { bspatch } from "../../src/ostree/delta/bspatch.ts";
import { memoryRange } from "../../src/ostree/delta/byte-range.ts";
import { countOperations } from "../../src/ostree/delta/count-operations.ts";
import { readSuperblock } from "../../src/ostree/delta/superblock.ts";
import { archiveHeaderLength, parseArchiveHeader } from "../../src/ostree/file-header.ts";
import { readGVariant, writeGVariant } from "../../src/ostree/gvariant.ts";
import { parseCommit, parseDirMeta, parseDirTree } from "../../src/ostree/objects.ts";
import { parseDeltaIndex, parseSummary } from "../../src/ostree/remote/summary-format.ts";
import { parseMeta } from "../../src/repository/meta.ts";
import { readKeyring } from "../../src/signature/openpgp/keyring.ts";
import { memorySource, SplitstreamReader } from "../../src/splitstream/reader.ts";
import { readLayer } from "../../src/tar/read-back.ts";
import { dumpTree } from "../../src/tree/dump.ts";
import { DumpfileParser, parseDumpfile } from "../../src/tree/dumpfile.ts";
import { parseFileContexts } from "../../src/tree/selinux/file-contexts.ts";
import { SHA256, SHA512 } from "../../src/verity/digest.ts";
import {
  corruptImageCases,
  dumpfileCases,
  fixture,
  generatedCases,
  handMadeCases,
} from "../erofs/support/vectors.ts";
import { PROJECT } from "../support/project.ts";
import { splitTar } from "../tar/split.ts";
import type { Finish } from "./mutate.ts";
import { attempt, ensure, type Target } from "./target.ts";

const FIXTURES = join(PROJECT, "fixtures");
const LARGEST_SEED = 256 * 1024;

/** Files below fixtures/ with one of these endings. */
function files(folder: string, ...endings: readonly string[]): Uint8Array[] {
  const path = join(FIXTURES, folder);
  return readdirSync(path, { recursive: true })
    .map(String)
    .filter((name) => endings.some((ending) => name.endsWith(ending)))
    .sort()
    .filter((name) => statSync(join(path, name)).isFile() && statSync(join(path, name)).size <= LARGEST_SEED)
    .map((name) => {
      const bytes = readFileSync(join(path, name));
      if (name.endsWith(".zst")) return Buffer.from(Bun.zstdDecompressSync(bytes));
      return name.endsWith(".gz") ? gunzipSync(bytes) : bytes;
    })
    .filter((bytes) => bytes.length <= LARGEST_SEED);
}

const dumpfile: Target = {
  name: "dumpfile",
  isText: true,
  seeds() {
    const cases = [...handMadeCases(), ...generatedCases().slice(0, 40)].map((c) => Buffer.from(c.dumpfile));
    const bad = dumpfileCases().map((c) =>
      Buffer.from(c.input_base64 ?? c.input ?? "", c.input === undefined ? "base64" : "utf8"),
    );
    return [...cases, ...bad].filter((bytes) => bytes.length <= LARGEST_SEED);
  },
  run(bytes) {
    const anyPath = new DumpfileParser(SHA256, { anyPaths: true });
    attempt(() => {
      anyPath.push(bytes);
      writeImage(anyPath.finish(), 1, SHA256);
    });
    const tree = parseDumpfile(bytes, SHA256);
    const text = [...dumpTree(tree)].join("");
    ensure(
      [...dumpTree(parseDumpfile(Buffer.from(text), SHA256))].join("") === text,
      "its dump reads as another tree",
    );
    for (const version of [1, 2] as const) {
      const image = attempt(() => writeImage(tree, version, SHA256));
      if (image === undefined) continue;
      const differences = checkStructure(image, SHA256);
      ensure(differences.length === 0, `its image is wrong: ${JSON.stringify(differences)}`);
    }
  },
};

const erofs: Target = {
  name: "erofs",
  seeds() {
    const bases = [
      "base.v1.erofs.zst",
      "base.v2.erofs.zst",
      "dir-doubling-40.v1.erofs.zst",
      "root-loop.v1.erofs.zst",
    ];
    const images = files("erofs/images", ".erofs.zst").filter((bytes) => bytes.length <= 64 * 1024);
    return [...bases.map((name) => fixture(`invalid-images/${name}`)), ...images];
  },
  finish(bytes, choices) {
    // some begin with one of the damages that were thought of
    if (!choices.chance(0.2)) return bytes;
    for (const [offset, hex] of choices.of(CORRUPTIONS).patch)
      if (offset + hex.length / 2 <= bytes.length) bytes.hexWrite(hex, offset);
    return bytes;
  },
  run(bytes) {
    attempt(() => collectObjects(bytes, SHA256));
    scanObjectDigests(bytes, SHA256, (_, offset) =>
      ensure(offset + 32 <= bytes.length, "a digest beyond the image"),
    );
    attempt(() => checkStructure(bytes, SHA256));
    attempt(() => {
      for (const entry of listImage(bytes, SHA256)) dumpLineOf(entry);
    });
    const { root } = readImage(bytes, SHA256);
    for (const _ of dumpTree(root));
    attempt(() => writeImage(root, 2, SHA256));
  },
};
const CORRUPTIONS = corruptImageCases();

const splitstream: Target = {
  name: "splitstream",
  seeds() {
    return [...files("splitstream", ".splitstream"), ...files("oci/layers", ".splitstream")];
  },
  run(bytes) {
    for (const algorithm of [SHA256, SHA512]) {
      const read = () => new SplitstreamReader(memorySource(bytes), algorithm);
      attempt(() => {
        let size = 0;
        for (const chunk of read().chunks()) {
          if ("inline" in chunk) size += chunk.inline.length;
          if (size > 1 << 26) break;
        }
      });
      attempt(() => {
        for (const _ of readLayer(read().chunks()));
      });
    }
  },
};

const BLOCK = 512;
const CHECKSUM = 148;

/** Makes the checksums of whatever looks like a header right again. */
const fixTarChecksums: Finish = (bytes, choices) => {
  if (choices.chance(0.1)) return bytes;
  for (let at = 0; at + BLOCK <= bytes.length; at += BLOCK) {
    if (!/^ustar|^$/.test(bytes.latin1Slice(at + 257, at + 262).replace(/\0+$/, ""))) continue;
    if (bytes[at] === 0) continue;
    bytes.fill(" ", at + CHECKSUM, at + CHECKSUM + 8);
    let sum = 0;
    for (let i = at; i < at + BLOCK; i++) sum += bytes[i]!;
    bytes.latin1Write(`${sum.toString(8).padStart(6, "0")}\0 `, at + CHECKSUM);
  }
  return bytes;
};

const tar: Target = {
  name: "tar",
  seeds() {
    return files("oci/layers", ".tar", ".tar.gz");
  },
  finish: fixTarChecksums,
  run(bytes) {
    attempt(() => splitTar(bytes, 1024));
    // as if everything were inside of the splitstream
    for (const _ of readLayer([{ inline: bytes }]));
  },
};

/** A tar-diff of version 1 and 2, before compression: all operations, names, numbers of several bytes. */
const OPERATIONS = [
  [0, 5, ...Buffer.from("hello"), 1, 3, ...Buffer.from("a/b"), 2, 0x80, 0x20, 4, 7, 3, 3, 1, 2, 3, 0, 1, 9],
  [1, 1, 0x61, 5, 3, 1, 2, 3, 2, 10, 4, 0xff, 0xff, 0xff, 0xff, 0x0f, 2, 1],
  [0, 0xe8, 0x07, ...new Array<number>(1000).fill(7), 1, 2, 0xc3, 0xa9, 2, 0xff, 0x7f],
].map((operations) => Buffer.from(operations));

const tarDiff: Target = {
  name: "tar-diff",
  seeds: () => OPERATIONS,
  finish(bytes, choices) {
    const magic = tarDiffMagic(choices.of([1, 2] as const));
    const compressed = zstdCompressSync(bytes);
    const whole = Buffer.concat([magic, compressed]);
    if (choices.chance(0.2)) whole[choices.below(whole.length)]! ^= 1 << choices.below(8);
    return whole;
  },
  run(bytes) {
    const reader = new TarDiffReader();
    try {
      for (let at = 0; at < bytes.length; at += 1000) reader.add(bytes.subarray(at, at + 1000));
      reader.finish();
    } finally {
      reader.close();
    }
  },
};

const RECORDED = JSON.parse(readFileSync(join(FIXTURES, "ostree/objects.json"), "utf8")) as readonly {
  readonly type: string;
  readonly hex?: string;
  readonly metadata_hex?: string;
}[];
const SIGNATURES = [
  "a{sv}",
  "(a{sv}aya(say)sstayay)",
  "(a(say)a(sayay))",
  "(uuua(ayay))",
  "a(ayay)",
  "v",
  "as",
  "(yaytv)",
  "a{say}",
  "aaay",
];

const gvariant: Target = {
  name: "gvariant",
  seeds() {
    const objects = RECORDED.map(({ hex, metadata_hex }) =>
      Buffer.from(hex ?? metadata_hex ?? "", "hex"),
    ).filter((bytes) => bytes.length <= LARGEST_SEED);
    return [...objects, ...files("ostree/deltas/good", "")];
  },
  run(bytes) {
    for (const signature of SIGNATURES) {
      const value = attempt(() => readGVariant(signature, bytes));
      if (value === undefined) continue;
      // what was read is in normal form when it is written, which is then read as the same
      const written = writeGVariant(signature, value);
      const again = writeGVariant(signature, readGVariant(signature, written));
      ensure(Buffer.compare(written, again) === 0, `${signature}: written twice, it differs`);
    }
    const parsers: readonly ((bytes: Uint8Array<ArrayBuffer>) => unknown)[] = [
      parseCommit,
      parseDirTree,
      parseDirMeta,
      parseSummary,
      parseDeltaIndex,
      archiveHeaderLength,
      parseArchiveHeader,
      (b) => readSuperblock(memoryRange(b)),
      (b) => countOperations(b, []),
      (b) => [...bspatch(memoryRange(bytes), memoryRange(b))],
    ];
    for (const parse of parsers) attempt(() => parse(bytes));
  },
};

const DIGEST = `sha256:${"a".repeat(64)}`;
const DOCUMENTS = [
  {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    artifactType: "application/x",
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: DIGEST, size: 7, data: "e30=" },
    layers: [
      {
        mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
        digest: DIGEST,
        size: 1,
        urls: ["x"],
        annotations: { a: "b" },
      },
    ],
    subject: { mediaType: "x", digest: DIGEST, size: 2 },
    annotations: { "org.opencontainers.image.ref.name": "x" },
  },
  {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        digest: DIGEST,
        size: 9,
        platform: { architecture: "arm64", os: "linux", variant: "v8" },
      },
    ],
  },
  {
    architecture: "amd64",
    os: "linux",
    config: { Env: ["A=b"], Labels: { c: "d" } },
    rootfs: { type: "layers", diff_ids: [DIGEST, DIGEST] },
    history: [{ created: "2024-01-01T00:00:00Z", empty_layer: true }],
  },
  {
    default: [{ type: "insecureAcceptAnything" }],
    transports: {
      docker: {
        "a.example/b": [
          {
            type: "signedBy",
            keyType: "GPGKeys",
            keyPath: "/k",
            signedIdentity: { type: "matchRepository" },
          },
        ],
        "": [{ type: "reject" }],
      },
    },
  },
  {
    version: 1,
    algorithm: "fsverity-sha256-12",
    features: { compatible: [], "read-only-compatible": ["v1_erofs"], incompatible: [] },
    erofs_formats: { default: 1, extra: [2] },
  },
].map((value) => Buffer.from(JSON.stringify(value)));

const manifests: Target = {
  name: "manifests",
  isText: true,
  seeds: () => DOCUMENTS,
  run(bytes) {
    const parsers: readonly ((bytes: Uint8Array<ArrayBuffer>) => unknown)[] = [
      (b) => parseManifest(b),
      (b) => parseIndex(b),
      (b) => parseConfig(b),
      (b) => parsePolicy(b, "policy.json"),
      parseMeta,
    ];
    for (const parse of parsers) attempt(() => parse(bytes));
  },
};

const CONTEXTS = [
  "/etc/.*\tsystem_u:object_r:etc_t:s0\n/usr/(.*/)?bin(/.*)?\t--\tsystem_u:object_r:bin_t:s0\n/dev/[sx]d[a-z]+ -b <<none>>\n",
  "/a{1,3}\\.(so|a)(\\.[^/]*)* -- u:r:t:s0\n# comment\n\n/x(?:y|z)?+ -d u:r:t\n",
].map((text) => Buffer.from(text));

const labels: Target = {
  name: "selinux",
  isText: true,
  seeds: () => CONTEXTS,
  run: (bytes) => void parseFileContexts(Buffer.from(bytes).latin1Slice(), "file_contexts"),
};

const openpgp: Target = {
  name: "openpgp",
  seeds() {
    return files("signature/openpgp", ".gpg", ".asc", ".pgp", ".sig", ".key", ".pub");
  },
  run: (bytes) => void readKeyring(bytes),
};

/** All parsers of what comes from elsewhere. */
export const TARGETS: readonly Target[] = [
  dumpfile,
  erofs,
  splitstream,
  tar,
  tarDiff,
  gvariant,
  manifests,
  labels,
  openpgp,
];
