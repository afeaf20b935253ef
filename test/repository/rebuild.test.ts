import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import expected from "../../fixtures/repository/repos/expected.json";
import { importImage, linkImage, lookUpImage } from "../../src/repository/images.ts";
import { initRepository } from "../../src/repository/init.ts";
import { listRefs, writeRef } from "../../src/repository/refs.ts";
import { Repository } from "../../src/repository/repository.ts";
import { linkStream, lookUpStream } from "../../src/repository/streams.ts";
import { algorithmOf, type HashName, objectPath } from "../../src/verity/digest.ts";
import { Scratch } from "./support.ts";
import { treeOf } from "./vector-runner.ts";

const lastOf = (path: string) => path.split("/").at(-1)!;

describe.each(["sha256", "sha512"] as HashName[])("a repository of composefs-rs 0.9.4 with %s", (hash) => {
  const { tree, streams, images } = expected[`full-${hash}` as keyof typeof expected] as {
    tree: string[];
    streams: Record<string, string>;
    images: Record<string, string>;
  };

  test("its streams and images are found", () => {
    using scratch = new Scratch();
    using repository = Repository.open(scratch.unpack(`repos/full-${hash}.tar.gz`));
    for (const [name, target] of Object.entries(streams)) {
      expect(`../objects/${objectPath(lookUpStream(repository, name)!)}`).toBe(target);
    }
    for (const [name, target] of Object.entries(images)) {
      expect(`../objects/${objectPath(lookUpImage(repository, name))}`).toBe(target);
    }
  });

  test("stored and linked by us, its content makes the same tree", () => {
    using scratch = new Scratch();
    const original = scratch.unpack(`repos/full-${hash}.tar.gz`);
    const path = scratch.join("copy");
    const umask = process.umask(0o22);
    initRepository(path, { algorithm: algorithmOf(hash), erofsVersion: 1, verity: false });
    using from = Repository.open(original);
    using to = Repository.open(path);
    for (const line of tree) {
      const [type, , , file] = line.split(" ");
      if (type === "f" && file!.startsWith("objects/")) {
        expect(to.objects.storeBytes(readFileSync(join(original, file!))).created).toBe(true);
      }
    }
    for (const name of Object.keys(streams)) linkStream(to, name, lookUpStream(from, name)!);
    for (const name of Object.keys(images)) linkImage(to, lookUpImage(from, name));
    for (const category of ["streams", "images"] as const) {
      for (const { name, target } of listRefs(from, category)) writeRef(to, category, name, lastOf(target));
    }
    process.umask(umask);
    expect(treeOf(path)).toEqual(tree);
  });

  test("its image is imported under the same digest, and under a ref", () => {
    using scratch = new Scratch();
    const original = scratch.unpack(`repos/full-${hash}.tar.gz`);
    initRepository(scratch.join("copy"), { algorithm: algorithmOf(hash), erofsVersion: 1, verity: false });
    using to = Repository.open(scratch.join("copy"));
    for (const [name, target] of Object.entries(images)) {
      const id = importImage(to, readFileSync(join(original, "images", target)), "os/image");
      expect(id as string).toBe(name);
      expect(listRefs(to, "images")).toEqual([{ name: "os/image", target: `../../${name}` }]);
      expect(lookUpImage(to, "refs/os/image")).toBe(id);
    }
    expect(() => importImage(to, new Uint8Array(4096), "junk")).toThrow("not a composefs image");
    expect(listRefs(to, "images")).toHaveLength(1);
  });
});
