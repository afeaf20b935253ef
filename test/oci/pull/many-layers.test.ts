import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { openSource } from "../../../src/oci/open-source.ts";
import { pullImage } from "../../../src/oci/pull/pull.ts";
import { parseReference } from "../../../src/oci/reference.ts";
import type { ImageSource } from "../../../src/oci/source.ts";
import { SHA256 } from "../../../src/verity/digest.ts";
import { writeLayout } from "../../support/oci-layout.ts";
import { file, writeTar } from "../../support/tar-writer.ts";
import { tempDir } from "../../support/temp.ts";
import { newRepository } from "../support.ts";

const LAYERS = 400;

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
  const watched: ImageSource = {
    label: source.label,
    manifest: () => source.manifest(),
    async openBlob(descriptor) {
      const blob = await source.openBlob(descriptor);
      most = Math.max(most, openFiles());
      return blob;
    },
    [Symbol.dispose]() {},
  };
  const { statistics } = await pullImage(repository, watched, { jobs: 1 });

  expect(most - before).toBeLessThan(300);
  expect(openFiles()).toBeLessThan(before + 10);
  expect(statistics.newObjects).toBe(LAYERS);
  const again = await pullImage(repository, source, { jobs: 1 });
  expect(again.unchanged).toBe(true);
});
