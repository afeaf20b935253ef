import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Repository } from "../../../src/repository/repository.ts";
import { openStream } from "../../../src/repository/streams.ts";
import { objectPath, SHA256, SHA512 } from "../../../src/verity/digest.ts";
import { writeSampleLayout } from "../../support/sample-images.ts";
import { testNeeding } from "../../support/skip.ts";
import { tempDirInMemory } from "../../support/temp.ts";
import { newRepository, pull } from "../support.ts";
import { failure, layoutBlob, layoutManifest, push } from "./support.ts";

const scratch = tempDirInMemory(512 * 1024 * 1024);
const LAYOUT = scratch.join("layout");
const IMAGES = writeSampleLayout(LAYOUT);
let repository: Repository;
beforeAll(async () => {
  repository = newRepository(scratch.join("repository"), SHA256);
  await pull(repository, `oci:${LAYOUT}:many`, { tag: "many" });
  await pull(repository, `oci:${LAYOUT}:odd`, { tag: "odd", keepBlobs: true });
});
afterAll(() => {
  repository[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

const newDirectory = (name: string) => {
  mkdirSync(scratch.join(name));
  return scratch.join(name);
};

const run = (...command: string[]) => {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
  return stdout.toString();
};

describe("an archive", () => {
  test("is the same however many threads made it, and unpacked it is a layout", async () => {
    const [one, two] = [scratch.join("one.tar"), scratch.join("two.tar")];
    const first = await push(repository, "many", `oci-archive:${one}:x`, { jobs: 1 });
    await push(repository, "many", `oci-archive:${two}:x`, { jobs: 3 });
    expect(Bun.hash(readFileSync(one))).toBe(Bun.hash(readFileSync(two)));

    const unpacked = newDirectory("unpacked");
    run("tar", "-xf", one, "-C", unpacked);
    const { config, layers } = layoutManifest(unpacked, first.manifest);
    for (const { digest } of [config, ...layers]) layoutBlob(unpacked, digest);
    expect(readdirSync(join(unpacked, "blobs/sha256")).length).toBe(2 + layers.length);
    expect(JSON.parse(readFileSync(join(unpacked, "index.json"), "utf8"))).toMatchObject({
      schemaVersion: 2,
      manifests: [{ digest: first.manifest, annotations: { "org.opencontainers.image.ref.name": "x" } }],
    });
  });

  test("replaces another one, and is pulled again", async () => {
    const path = scratch.join("replaced.tar");
    writeFileSync(path, "old");
    const report = await push(repository, "odd", `oci-archive:${path}`);
    expect(report.manifest as string).toBe(IMAGES.odd.manifest);
    using other = newRepository(scratch.join("other"), SHA512);
    expect((await pull(other, `oci-archive:${path}`, { tag: "t" })).manifest).toBe(report.manifest);
  });

  test("stays what it was when the image is damaged, and nothing else is left behind", async () => {
    using other = newRepository(scratch.join("damaged"), SHA256);
    await pull(other, `oci:${LAYOUT}:many`, { tag: "many" });
    using stream = openStream(other, `oci-layer-${IMAGES.many.layers[0]!.diffId}`);
    const object = join(other.path, "objects", objectPath(stream.reader.objectRefs.at(5)));
    chmodSync(object, 0o644);
    writeFileSync(object, readFileSync(object).fill(1, 0, 1));
    const directory = newDirectory("archives");
    writeFileSync(join(directory, "a.tar"), "old");
    for (const jobs of [1, 3]) {
      const pushed = push(other, "many", `oci-archive:${join(directory, "a.tar")}`, { jobs });
      expect(await failure(pushed)).toContain("incorrect checksum");
    }
    expect(readdirSync(directory)).toEqual(["a.tar"]);
    expect(readFileSync(join(directory, "a.tar"), "utf8")).toBe("old");
  });

  test("replaces nothing but files", async () => {
    const elsewhere = scratch.join("elsewhere");
    writeFileSync(elsewhere, "precious");
    const directory = newDirectory("places");
    const place = (name: string) => join(directory, name);
    symlinkSync(elsewhere, place("link"));
    symlinkSync("/dev/stdout", place("stdout"));
    mkdirSync(place("directory"));
    run("mkfifo", place("fifo"));
    for (const name of ["link", "stdout", "fifo"])
      expect(await failure(push(repository, "odd", `oci-archive:${place(name)}`))).toContain(
        "no regular file",
      );
    for (const name of ["directory", "directory/"])
      expect(await failure(push(repository, "odd", `oci-archive:${place(name)}`))).toEndWith(
        "is a directory",
      );
    expect(readdirSync(directory).sort()).toEqual(["directory", "fifo", "link", "stdout"]);
    expect(readFileSync(elsewhere, "utf8")).toBe("precious");
  });

  testNeeding({ tool: "skopeo" })("skopeo reads it", async () => {
    const path = scratch.join("skopeo.tar");
    const { manifest } = await push(repository, "many", `oci-archive:${path}:x`, { compression: "zstd" });
    const copy = scratch.join("copy");
    run("skopeo", "copy", "--insecure-policy", "-q", `oci-archive:${path}:x`, `dir:${copy}`);
    const digest = new Bun.CryptoHasher("sha256").update(readFileSync(join(copy, "manifest.json")));
    expect(`sha256:${digest.digest("hex")}`).toBe(manifest);
  });
});
