import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { describeError } from "../../../src/errors.ts";
import type { PullReport } from "../../../src/oci/pull/pull.ts";
import { checkRepository } from "../../../src/repository/fsck.ts";
import { Repository } from "../../../src/repository/repository.ts";
import { openStream } from "../../../src/repository/streams.ts";
import { type Algorithm, SHA256, SHA512 } from "../../../src/verity/digest.ts";
import { type TempDir, tempDir, tempDirInMemory } from "../../support/temp.ts";
import { newRepository, pull } from "../support.ts";
import { contentsOf, readJson, unpackFixture } from "./support.ts";

interface Expected {
  readonly target: { readonly manifest: string; readonly config: string };
  readonly sha256: ExpectedPull;
  readonly sha512: ExpectedPull;
}
interface ExpectedPull {
  readonly pull_delta: { readonly stdout: readonly string[] };
  readonly streams: Readonly<Record<string, string>>;
}
interface ExpectedFailure {
  readonly note: string;
  readonly rc: number;
}

let scratch: TempDir;
beforeAll(() => {
  scratch = tempDir();
  for (const name of ["cases", "bad"] as const) unpackFixture(name, scratch.path);
});
afterAll(() => scratch[Symbol.dispose]());

const CASES = [
  "g01-bsdiff",
  "g02-zstd-v2",
  "g03-auto-v2",
  "g04-rollsum",
  "g05-original",
  "g06-config-only",
  "g07-features",
  "g08-duplicate-layers",
  "g09-layer-encodings",
  "g10-chain",
  "g11-tagged",
  "g12-signature",
  "g13-paths",
  "g14-framing",
  "g15-op-forms",
  "g16-inline-source",
  "g17-zstddict",
  "g18-zstddict-plain-frame",
  "g19-sha512-diffid",
  "g20-zstddict-dict-magic",
];

describe.each([SHA256, SHA512] as Algorithm[])("deltas in a repository of $hash", (algorithm) => {
  test.each(CASES)("%s: the same as pulling the image that it makes", async (name) => {
    using own = tempDirInMemory(64 * 1024 * 1024);
    const expected = readJson<Expected>(scratch.join(`cases/${name}/expected.json`));
    const pullAll = async (path: string, last: string): Promise<PullReport> => {
      using repository = newRepository(path, algorithm);
      const reference = (folder: string) => `oci:${scratch.join("cases", name, folder)}`;
      await pull(repository, reference("source"), { tag: "src0" });
      if (name === "g10-chain") await pull(repository, reference("delta1"), { tag: "src1" });
      return await pull(repository, reference(last), { tag: "tgt" });
    };
    const report = await pullAll(own.join("delta"), "delta");
    await pullAll(own.join("target"), "target");

    expect(report.manifest as string).toBe(expected.target.manifest);
    expect(report.config as string).toBe(expected.target.config);
    expect(contentsOf(own.join("delta"))).toEqual(contentsOf(own.join("target")));
    const { pull_delta, streams } = expected[algorithm.hash];
    const { newObjects, presentObjects } = report.statistics;
    expect(pull_delta.stdout[4]).toStartWith(
      `objects  ${newObjects} new + ${presentObjects} already present objects;`,
    );
    using repository = Repository.open(own.join("delta"));
    for (const [stream, id] of Object.entries(streams)) {
      using opened = openStream(repository, stream);
      expect([stream, opened.id as string]).toEqual([stream, id]);
    }
    expect((await checkRepository(repository)).errors).toEqual([]);
  });
});

test.each(["plain", "gzip", "zstd"])("a delta in an archive, by any tag: %s", async (packing) => {
  using own = tempDir();
  using repository = newRepository(own.join("repository"), SHA256);
  await pull(repository, `oci:${scratch.join("cases/g11-tagged/source")}:41`, { tag: "41" });
  const bytes = readFileSync(scratch.join("cases/g11-tagged/delta.ociarchive"));
  const pack = { plain: (plain: Buffer) => plain, gzip: gzipSync, zstd: zstdCompressSync }[packing]!;
  writeFileSync(own.join("archive"), pack(bytes));
  const report = await pull(repository, `oci-archive:${own.join("archive")}:nothing-has-this-tag`);
  expect(report.manifest as string).toBe(
    readJson<Expected>(scratch.join("cases/g11-tagged/expected.json")).target.manifest,
  );
});

/** What the reference refuses, and why we don't. */
const ACCEPTED: Readonly<Record<string, string>> = {
  "b85-layer-gzip-multi-member": "members of gzip data belong together",
  "b89-docker-layer-type": "docker's layer types are tars too",
  "b90-old-artifact-type": "the same format",
  "b91-no-artifact-type": "pulled as an artifact that is no delta",
  "b92-artifact-type-as-config": "pulled as an artifact that is no delta",
  "b93-two-manifests": "deltas are looked for among several manifests",
  "b94-nested-index": "an index in an index is read",
};

/** What the reference accepts although its bytes were tampered with. */
const TAMPERED: readonly string[] = ["b81-layer-blob-digest", "b95-delta-manifest-digest"];

/** What is said about the others. */
const MESSAGES: Readonly<Record<string, RegExp>> = {
  "b01-bad-magic": /no tar-diff of version 1 or 2/,
  "b02-short-header": /too short/,
  "b03-empty-blob": /too short/,
  "b04-no-zstd": /has no operations/,
  "b05-garbage-zstd": /damaged zstd data/,
  "b06-truncated-zstd": /the zstd data ends too early/,
  "b07-unknown-op": /unknown operation 6/,
  "b08-zstddict-in-v1": /operation of version 2 in version 1/,
  "b09-varint-overflow": /more than 64 bits/,
  "b10-varint-overflow2": /more than 64 bits/,
  "b11-varint-truncated": /ends inside an operation/,
  "b12-op-only": /ends inside an operation/,
  "b13-data-overrun": /ends inside an operation/,
  "b14-copy-overrun":
    /4001 bytes at 0 of the source image's file data\/blob.bin are asked for, which has 4000/,
  "b15-adddata-overrun": /11 bytes at 3990 of .* are asked for, which has 4000/,
  "b16-adddata-short-payload": /ends inside an operation/,
  "b17-adddata-limit": /an addition has 104857601 bytes; at most 104857600/,
  "b18-open-missing": /data\/nope of the source image: there is no such file/,
  "b19-open-missing-dir": /nodir\/nope of the source image: there is no such file/,
  "b20-open-dir": /not a regular file/,
  "b21-open-symlink": /not a regular file/,
  "b22-open-via-symlink": /it is in no directory/,
  "b23-open-fifo": /not a regular file/,
  "b24-traversal": /"\.\.\/\.\.\/\.\.\/etc\/passwd" is no path of a file/,
  "b25-dotdot-inside": /is no path of a file/,
  "b26-leading-dot": /is no path of a file/,
  "b27-root": /"\/" is no path of a file/,
  "b28-empty-name": /"" is no path of a file/,
  "b29-name-nul": /blob.bin\\x00 of the source image: there is no such file/,
  "b30-name-limit": /has 4097 bytes; at most 4096/,
  "b31-name-4096": /there is no such file/,
  "b32-name-not-utf8": /data\/\\xff\\xfe is not UTF-8/,
  "b33-name-short": /ends inside an operation/,
  "b34-copy-before-open": /needs a file before one is named/,
  "b35-copy0-before-open": /needs a file before one is named/,
  "b36-seek-before-open": /needs a file before one is named/,
  "b37-adddata-before-open": /needs a file before one is named/,
  "b38-zstddict-before-open": /needs a file before one is named/,
  "b39-seek-past-eof-copy": /1 bytes at 5000 of .* are asked for, which has 4000/,
  "b44-diffid-mismatch": /Layer sha256:\w+ has incorrect checksum/,
  "b46-output-long": /Layer sha256:\w+ has incorrect checksum/,
  "b47-zstddict-garbage": /damaged zstd data/,
  "b48-zstddict-empty": /a frame of the delta ends too early/,
  "b49-zstddict-wrong-dict": /damaged zstd data/,
  "b50-zstddict-truncated": /a frame of the delta ends too early/,
  "b53-zstddict-window-30": /too much memory/,
  "b55-outer-window-28": /too much memory/,
  "b57-trailing-garbage": /damaged zstd data/,
  "b58-skippable-truncated": /the zstd data ends too early/,
  "b60-source-absent":
    /is based on an image with config sha256:5bc3976d\w+, but it is not present in the repository/,
  "b61-empty-repo":
    /is based on an image with config sha256:5bc3976d\w+, but it is not present in the repository/,
  "b62-reused-layer-absent": /layer sha256:578be7ad\w+, which the delta leaves out, is not in the repository/,
  "b63-no-annotations": /delta.source-config is missing/,
  "b64-no-source-config": /delta.source-config is missing/,
  "b65-bad-source-config": /source-config of the delta is no digest: missing ':' in digest/,
  "b67-no-image-manifest": /the delta has no image manifest/,
  "b68-no-image-config": /the delta has no image config/,
  "b69-manifest-digest": /Manifest digest mismatch/,
  "b70-config-digest": /Config digest mismatch/,
  "b71-config-mismatch": /target has config sha256:5d2d75cc\w+, but the delta has/,
  "b72-diffid-count": /the manifest has 1 layers, but the config names 0 diff IDs/,
  "b73-unknown-to": /layer sha256:a+, which is not one of the target's/,
  "b74-invalid-to": /delta.to of the delta is no digest: missing ':' in digest/,
  "b75-no-to": /which the delta leaves out/,
  "b76-empty-to": /which the delta leaves out/,
  "b78-layer-size": /Expected size 165 but found 164/,
  "b79-layer-blob-missing": /does not exist/,
  "b80-manifest-blob-missing": /does not exist/,
  "b82-unsupported-layer-type": /media type application\/octet-stream, which is no tar layer/,
  "b83-layer-gzip-bad": /damaged gzip data/,
  "b98-bomb": /Layer sha256:\w+ has incorrect checksum/,
};

test("malformed deltas", async () => {
  const expected = Object.entries(
    readJson<Record<string, ExpectedFailure>>(scratch.join("bad/expected.json")),
  );
  expect(expected.length).toBe(99);
  const wrong: string[] = [];
  using own = tempDirInMemory(64 * 1024 * 1024);
  for (const [name, { rc }] of expected) {
    const path = own.join(name);
    using repository = newRepository(path, SHA256);
    const source = name === "b60-source-absent" ? "other-source" : "source";
    if (name !== "b61-empty-repo") await pull(repository, `oci:${scratch.join("bad", source)}`, { tag: "s" });
    const before = contentsOf(path);
    const failure = await pull(repository, `oci:${scratch.join("bad", name)}`, { tag: "t" }).then(
      () => undefined,
      describeError,
    );
    const isRefused = TAMPERED.includes(name) || (rc !== 0 && !(name in ACCEPTED));
    if (isRefused !== (failure !== undefined)) wrong.push(`${name}: ${failure ?? "accepted"}`);
    if (failure === undefined) continue;
    if (!(MESSAGES[name] ?? /./).test(failure)) wrong.push(`${name}: ${failure}`);
    const { links } = contentsOf(path);
    if (links.join() !== before.links.join()) wrong.push(`${name}: left links`);
  }
  expect(wrong).toEqual([]);
}, 60_000);
