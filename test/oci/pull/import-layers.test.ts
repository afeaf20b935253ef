import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { openSource } from "../../../src/oci/open-source.ts";
import { pullImage } from "../../../src/oci/pull/pull.ts";
import { parseReference } from "../../../src/oci/reference.ts";
import type { BlobStore, ImageSource } from "../../../src/oci/source.ts";
import { SHA256 } from "../../../src/verity/digest.ts";
import { writeLayout } from "../../support/oci-layout.ts";
import { file, noise, writeTar } from "../../support/tar-writer.ts";
import { tempDir } from "../../support/temp.ts";
import { newRepository } from "../support.ts";

const LAYERS = 300;

const openFiles = () => readdirSync("/proc/self/fd").length;

test("the number of open files does not grow with the number of layers", async () => {
  using folder = tempDir();
  const layers = Array.from({ length: LAYERS }, (_, i) => ({
    tar: writeTar([file("last", `${i}`), file(`f${i}`, "x".repeat(100 + i))]),
  }));
  writeLayout(folder.join("layout"), [{ tag: "many", layers }]);
  using repository = newRepository(folder.join("repo"), SHA256);
  using source = openSource(parseReference(`oci:${folder.join("layout")}:many`), repository.dir.fd);

  const before = openFiles();
  let most = 0;
  const blobs = source.blobs as BlobStore;
  const watched: ImageSource = {
    label: source.label,
    manifest: () => source.manifest(),
    readDocument: (descriptor, max, what) => source.readDocument(descriptor, max, what),
    blobs: {
      async openBlob(descriptor) {
        const blob = await blobs.openBlob(descriptor);
        most = Math.max(most, openFiles());
        return blob;
      },
    },
    [Symbol.dispose]() {},
  };
  const { statistics } = await pullImage(repository, watched, { jobs: 1 });

  expect(most - before).toBeLessThan(280);
  expect(openFiles()).toBeLessThan(before + 10);
  expect(statistics.newObjects).toBe(LAYERS);
  const again = await pullImage(repository, source, { jobs: 1 });
  expect(again.unchanged).toBe(true);
}, 30_000);

test("a layer that can't be linked ends the work on the others, and the error says which", async () => {
  using folder = tempDir();
  const layer = (name: string, size: number) => ({ tar: writeTar([file(name, noise(size, size))]) });
  const [image] = writeLayout(folder.join("layout"), [
    { tag: "t", layers: [layer("small", 100), layer("large", 3_000_000), layer("larger", 4_000_000)] },
  ]);
  using repository = newRepository(folder.join("repo"), SHA256);
  const [small, ...others] = image!.layers.map(({ diffId }) => `streams/oci-layer-${diffId}`);
  mkdirSync(folder.join("repo", small!), { recursive: true });
  using source = openSource(parseReference(`oci:${folder.join("layout")}:t`), repository.dir.fd);
  const before = openFiles();
  await expect(pullImage(repository, source, { jobs: 2, tag: "t" })).rejects.toThrow("image sha256:");
  expect(openFiles()).toBeLessThan(before + 10);
  expect(existsSync(folder.join("repo/streams/refs/oci"))).toBe(false);

  rmdirSync(folder.join("repo", small!));
  await pullImage(repository, source, { jobs: 2, tag: "t" });
  for (const path of [small!, ...others]) expect(existsSync(folder.join("repo", path))).toBe(true);
});
