import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describeError } from "../../../src/errors.ts";
import { loadRegistryConfiguration } from "../../../src/oci/containers/configuration.ts";
import type { Descriptor } from "../../../src/oci/descriptor.ts";
import { type OciDigest, parseDigest } from "../../../src/oci/digest.ts";
import { openSource } from "../../../src/oci/open-source.ts";
import { Downloads } from "../../../src/oci/pull/downloads.ts";
import { pullImage } from "../../../src/oci/pull/pull.ts";
import { BlobTransfer, type Transfer } from "../../../src/oci/pull/transfers.ts";
import { parseReference } from "../../../src/oci/reference.ts";
import type { RemoteBlobs } from "../../../src/oci/source.ts";
import type { Repository } from "../../../src/repository/repository.ts";
import { Fd } from "../../../src/sys/fd.ts";
import { O_CREAT, O_RDWR, open } from "../../../src/sys/file.ts";
import { SHA256 } from "../../../src/verity/digest.ts";
import { blobPath, type Packing, writeLayout } from "../../support/oci-layout.ts";
import { startRegistry, type TestRegistry } from "../../support/registry.ts";
import { directory, file, noise, writeTar } from "../../support/tar-writer.ts";
import { type TempDir, tempDir } from "../../support/temp.ts";
import { newRepository } from "../support.ts";

const TAR = writeTar([directory("usr/"), file("usr/file", noise(50_000, 1))]);

async function pullFrom(registry: TestRegistry, repository: Repository) {
  const registries = loadRegistryConfiguration({ tlsVerify: false });
  const reference = parseReference(`docker://${registry.host}/app:t`);
  using source = openSource(reference, repository.dir.fd, { registries });
  return await pullImage(repository, source, { jobs: 1, tag: "t" });
}

function sample(dir: TempDir, packing: Packing) {
  const layout = dir.join("layout");
  const [image] = writeLayout(layout, [{ tag: "t", layers: [{ tar: TAR, packing }] }]);
  const { digest } = image!.layers[0]!;
  return { layout, digest, blob: readFileSync(blobPath(layout, digest)) };
}

describe.each<Packing>(["plain", "gzip", "zstd"])("a layer packed as %s", (packing) => {
  test.each([0, 40, 150, 600, 40_000])(
    "with a wrong byte at %d is fetched anew the next time",
    async (at) => {
      using dir = tempDir();
      const { layout, digest } = sample(dir, packing);
      await using registry = await startRegistry();
      registry.content.addLayout("app", layout);
      using repository = newRepository(dir.join("repository"), SHA256);
      registry.fault(`/v2/app/blobs/${digest}`, { corruptAt: at });

      const failure = await pullFrom(registry, repository).catch(describeError);
      expect(failure).toBeString();
      expect(readdirSync(dir.join("repository", "tmp"))).toEqual([]);
      expect(existsSync(dir.join("repository", "streams/refs"))).toBe(false);
      expect((await pullFrom(registry, repository)).tag).toBe("t");
    },
  );

  test("of which an earlier run has left something wrong is fetched anew at once", async () => {
    using dir = tempDir();
    const { layout, digest, blob } = sample(dir, packing);
    await using registry = await startRegistry();
    registry.content.addLayout("app", layout);
    using repository = newRepository(dir.join("repository"), SHA256);
    mkdirSync(dir.join("repository", "tmp"));
    writeFileSync(dir.join("repository", "tmp", digest.replace(":", "-")), blob.subarray(0, 20_000).fill(1));

    expect((await pullFrom(registry, repository)).tag).toBe("t");
    expect(registry.sent(digest)).toEqual([
      [20_000, blob.length],
      [0, blob.length],
    ]);
    expect(readdirSync(dir.join("repository", "tmp"))).toEqual([]);
  });
});

test("what has arrived is kept when the registry refuses to send the rest", async () => {
  using dir = tempDir();
  const { layout, digest } = sample(dir, "gzip");
  await using registry = await startRegistry();
  registry.content.addLayout("app", layout);
  using repository = newRepository(dir.join("repository"), SHA256);
  registry.fault(`/v2/app/blobs/${digest}`, { cutAfter: 30_000 });
  registry.fault(`/v2/app/blobs/${digest}`, { status: 400 }, { from: 2 });
  expect(await pullFrom(registry, repository).catch(describeError)).toContain("HTTP status 400");
  const part = dir.join("repository", "tmp", digest.replace(":", "-"));
  expect(readFileSync(part).length).toBe(30_000);
  registry.fault(`/v2/app/blobs/${digest}`, { status: 400 });
  expect(await pullFrom(registry, repository).catch(describeError)).toContain("HTTP status 400");
  expect(readFileSync(part).length).toBe(30_000);
  expect((await pullFrom(registry, repository)).tag).toBe("t");
});

test("what is left of a layer that has come by other means goes", async () => {
  using dir = tempDir();
  const { layout, digest } = sample(dir, "gzip");
  await using registry = await startRegistry();
  registry.content.addLayout("app", layout);
  using repository = newRepository(dir.join("repository"), SHA256);
  await pullFrom(registry, repository);
  writeFileSync(dir.join("repository", "tmp", digest.replace(":", "-")), Buffer.alloc(100));
  expect((await pullFrom(registry, repository)).unchanged).toBe(true);
  expect(readdirSync(dir.join("repository", "tmp"))).toEqual([]);
});

/** A transfer of zeros into a file that stays open. */
function transferOf(path: string, size: number): Transfer {
  const blob: Descriptor = {
    mediaType: "x",
    digest: `sha256:${"0".repeat(64)}` as OciDigest,
    size,
    annotations: new Map(),
  };
  return {
    blob,
    size,
    present: 0,
    open: () => {
      const opened = new Fd(open(path, O_RDWR | O_CREAT, 0o600).release(), path);
      return {
        file: opened,
        length: 0,
        discard: () => opened.close(),
        [Symbol.dispose]: () => opened.close(),
      };
    },
    async *pieces() {
      yield new Uint8Array(size);
    },
  };
}

test("downloads that nobody reads meanwhile don't wait for that", async () => {
  using dir = tempDir();
  const size = 3 * 1024 * 1024;
  const transfers = Array.from({ length: 9 }, (_, i) => transferOf(dir.join(`${i}`), size));
  using downloads = new Downloads(transfers, {
    onArrival() {},
    onResume() {},
    readMeanwhile: false,
  });
  await downloads.run();
  expect(transfers.map((_, i) => downloads.arrivals.bytes(i))).toEqual(transfers.map(() => size));
});

test("what is here of a blob needs no more space", () => {
  using dir = tempDir();
  using repository = newRepository(dir.join("repository"), SHA256);
  const digest = parseDigest(`sha256:${"0".repeat(64)}`);
  const blob: Descriptor = { mediaType: "x", digest, size: 1000, annotations: new Map() };
  const transfer = new BlobTransfer(repository, {} as RemoteBlobs, blob);
  expect(transfer.present).toBe(0);
  using opened = transfer.open();
  writeFileSync(dir.join("repository", "tmp", digest.replace(":", "-")), Buffer.alloc(600));
  expect(opened.length).toBe(0);
  expect(transfer.present).toBe(600);
});
