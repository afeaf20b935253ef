import { describe, expect, test } from "bun:test";
import { describeError } from "../../../src/errors.ts";
import { copyImage } from "../../../src/oci/copy/copy.ts";
import { checkImages } from "../../../src/oci/fsck.ts";
import { checkRepository } from "../../../src/repository/fsck.ts";
import { collectGarbage } from "../../../src/repository/gc.ts";
import { SHA256, SHA512 } from "../../../src/verity/digest.ts";
import { addArtifact } from "../../support/oci-artifact.ts";
import { writeLayout } from "../../support/oci-layout.ts";
import { directory, file, noise, writeTar } from "../../support/tar-writer.ts";
import { tempDir } from "../../support/temp.ts";
import { layoutBlob, push } from "../push/support.ts";
import { newRepository, pull } from "../support.ts";

const TAR = writeTar([directory("usr/"), file("usr/file", noise(5000, 1))]);

describe("an artifact has as a blob what is a layer of an image", () => {
  test.each([
    ["artifact", "image"],
    ["image", "artifact"],
  ])("and first comes the %s, then the %s", async (first, second) => {
    const order = [first, second];
    using dir = tempDir();
    const layout = dir.join("layout");
    const [image] = writeLayout(layout, [{ tag: "image", layers: [{ tar: TAR }] }]);
    addArtifact(layout, { tag: "artifact", blobs: [TAR] });
    using repository = newRepository(dir.join("repository"), SHA256);
    for (const name of order) await pull(repository, `oci:${layout}:${name}`, { tag: name });

    expect((await pull(repository, `oci:${layout}:image`)).unchanged).toBe(true);
    expect((await pull(repository, `oci:${layout}:artifact`)).unchanged).toBe(true);
    collectGarbage(repository);
    expect(checkImages(repository).errors).toEqual([]);
    expect((await checkRepository(repository, { jobs: 1 })).errors).toEqual([]);

    using copy = newRepository(dir.join("copy"), SHA512);
    for (const name of order) {
      await copyImage(copy, repository, name, { tag: name, jobs: 1 });
      const { manifest } = await push(copy, name, `oci:${dir.join(`of-copy-${name}`)}:t`);
      expect(manifest).toBe((await push(repository, name, `oci:${dir.join(name)}:t`)).manifest);
    }
    expect(checkImages(copy).errors).toEqual([]);
    expect(layoutBlob(dir.join("artifact"), image!.layers[0]!.diffId)).toEqual(Buffer.from(TAR));
  });
});

test.each(["md5", "sha1", "blake2b256", "constructor"])(
  "digests of %s vouch for nothing",
  async (algorithm) => {
    using dir = tempDir();
    const layout = dir.join("layout");
    const hex = "0".repeat(64);
    writeLayout(layout, [
      {
        tag: "t",
        layers: [{ tar: TAR, packing: "plain" }],
        manifest: (manifest) => {
          manifest.config.mediaType = "application/vnd.oci.empty.v1+json";
          manifest.layers[0]!.digest = `${algorithm}:${hex}`;
        },
      },
    ]);
    using repository = newRepository(dir.join("repository"), SHA256);
    const failure = await pull(repository, `oci:${layout}:t`, { tag: "t" }).catch(describeError);
    expect(failure).toEndWith(`Layer digest algorithm ${algorithm} is not supported`);
  },
);
