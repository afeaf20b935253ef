import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { writeImage } from "../../src/erofs/writer.ts";
import { describeError, kindOf } from "../../src/errors.ts";
import { erofsImageOf } from "../../src/mount/container-image.ts";
import type { OciDigest } from "../../src/oci/digest.ts";
import { findBootImage } from "../../src/oci/find-boot-image.ts";
import { checkImages } from "../../src/oci/fsck.ts";
import { imageConfigOf, openImage } from "../../src/oci/image.ts";
import { imageRef, linkedImageRefs } from "../../src/oci/image-refs.ts";
import { imageTree, type TreeOptions } from "../../src/oci/image-tree.ts";
import { listReferrers } from "../../src/oci/referrers.ts";
import { SEAL_LABEL } from "../../src/oci/seal.ts";
import { sealImage } from "../../src/oci/seal-image.ts";
import { lookUpTag } from "../../src/oci/tags.ts";
import { checkRepository } from "../../src/repository/fsck.ts";
import { collectGarbage } from "../../src/repository/gc.ts";
import type { ErofsVersion } from "../../src/repository/meta.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { type Algorithm, type ObjectId, SHA256, SHA512 } from "../../src/verity/digest.ts";
import { fsVerityDigest } from "../../src/verity/merkle.ts";
import { Scratch } from "../repository/support.ts";
import { type ImageSpec, writeLayout } from "../support/oci-layout.ts";
import { directory, file, writeTar } from "../support/tar-writer.ts";
import { newRepository, pull } from "./support.ts";

const ALLOWLIST: TreeOptions = { xattrs: "allowlist-only" };

/** Files that make a difference to each way of making an image: xattrs, `/boot`, a policy. */
const LAYER = writeTar([
  directory("boot"),
  file("boot/vmlinuz", "kernel"),
  directory("etc"),
  directory("etc/selinux"),
  file("etc/selinux/config", "SELINUXTYPE=t\n"),
  directory("etc/selinux/t"),
  directory("etc/selinux/t/contexts"),
  directory("etc/selinux/t/contexts/files"),
  file("etc/selinux/t/contexts/files/file_contexts", `/.* a:b:c:s0\n# ${"x".repeat(100)}\n`),
  directory("sysroot"),
  directory("usr"),
  file("usr/a", "x".repeat(100), { xattrs: { "user.a": "1" } }),
]);

interface Lab extends Disposable {
  readonly path: string;
  /** Writes a layout of the image with these changes, and gives a reference to it. */
  write(changes?: Omit<ImageSpec, "tag" | "layers">): string;
  repository(algorithm?: Algorithm, version?: ErofsVersion): Repository;
}

function lab(): Lab {
  const scratch = new Scratch();
  const open: Repository[] = [];
  let count = 0;
  return {
    path: scratch.path,
    write(changes = {}) {
      const layout = scratch.join(`layout${count++}`);
      writeLayout(layout, [{ tag: "t", layers: [{ tar: LAYER, packing: "plain" }], ...changes }]);
      return `oci:${layout}:t`;
    },
    repository(algorithm = SHA256, version = 1) {
      const repository = newRepository(scratch.join(`r${count++}`), algorithm, version);
      open.push(repository);
      return repository;
    },
    [Symbol.dispose]() {
      for (const repository of open) repository[Symbol.dispose]();
      scratch[Symbol.dispose]();
    },
  };
}

function idOf(repository: Repository, version: ErofsVersion, options: TreeOptions = ALLOWLIST): ObjectId {
  const root = imageTree(repository, "img", options);
  return fsVerityDigest(writeImage(root, version, repository.algorithm), repository.algorithm);
}

const label = (id: string) => ({
  config: (config: Record<string, unknown>) => {
    config.config = { Labels: { [SEAL_LABEL]: id } };
  },
});

const annotation = (key: string, id: string) => ({
  manifest: (manifest: object) => {
    Object.assign(manifest, { annotations: { [key]: id } });
  },
});

const linkedIds = (repository: Repository, name: string) =>
  linkedImageRefs(openImage(repository, name).config.document.namedRefs).map(({ name, id }) => [name, id]);

async function refusal(action: Promise<unknown>): Promise<string> {
  return await action.then(
    () => "accepted",
    (error) => `${kindOf(error)} ${describeError(error)}`,
  );
}

describe("bootable images", () => {
  test("are linked with the plain ones, kept by later pulls, and made again when they are lost", async () => {
    using l = lab();
    const repository = l.repository();
    const reference = l.write();
    const first = await pull(repository, reference, { tag: "img" });
    expect(first.bootImage).toBeUndefined();
    const { bootImage } = await pull(repository, reference, { tag: "img", bootable: true });
    expect<string | undefined>(bootImage).toBe(idOf(repository, 1, { ...ALLOWLIST, bootable: true }));
    const both: string[][] = [
      ["composefs.image.v1", idOf(repository, 1)],
      ["composefs.image.boot.v1", bootImage!],
    ];
    expect(linkedIds(repository, "img")).toEqual(both);
    const again = await pull(repository, reference, { tag: "img", bootable: true });
    expect(again).toMatchObject({ bootImage, unchanged: true });
    const plain = await pull(repository, reference, { tag: "img" });
    expect(plain).toMatchObject({ bootImage: undefined, unchanged: true });

    await Bun.file(join(repository.path, "objects", bootImage!.slice(0, 2), bootImage!.slice(2))).delete();
    await pull(repository, reference, { tag: "img" });
    expect(linkedIds(repository, "img")).toEqual(both);
    expect((await checkRepository(repository)).errors).toEqual([]);
  });

  test("a tree that can't be bootable is refused, and nothing is tagged", async () => {
    using l = lab();
    const repository = l.repository();
    const reference = l.write({ layers: [{ tar: writeTar([directory("usr")]) }] } as object);
    const error = await refusal(pull(repository, reference, { tag: "img", bootable: true }));
    expect(error).toContain('Directory entry "boot" does not exist');
    expect(lookUpTag(repository, "img")).toBeUndefined();
  });

  test.each(["allowlist-only", "keep-user-xattrs"] as const)(
    "the way it was made is found: %s",
    async (xattrs) => {
      using l = lab();
      const repository = l.repository();
      const { manifest } = await pull(repository, l.write(), { tag: "img" });
      for (const version of [1, 2] as const) {
        const id = idOf(repository, version, { xattrs, bootable: true });
        const found = { id, xattrMode: xattrs, version };
        expect(findBootImage(repository, manifest, id)).toEqual(found);
        expect(findBootImage(repository, manifest, id)).toEqual(found);
        const suffix =
          (version === 1 ? ".v1" : "") + (xattrs === "keep-user-xattrs" ? `.xattrs=${xattrs}` : "");
        expect(linkedIds(repository, "img")).toContainEqual([`composefs.image.boot${suffix}`, id]);
      }
      expect(findBootImage(repository, manifest, "1".repeat(64) as ObjectId)).toBeUndefined();
      expect((await checkRepository(repository)).errors).toEqual([]);
      expect(checkImages(repository).errors).toEqual([]);
    },
  );
});

describe("sealing", () => {
  test.each([
    ["plain", false],
    ["bootable", true],
  ])("%s: a label names the image, and gc keeps it", async (_, bootable) => {
    using l = lab();
    const repository = l.repository();
    const { manifest } = await pull(repository, l.write(), { tag: "img" });
    const report = sealImage(repository, "img", { tag: "sealed", bootable });
    expect(report).toMatchObject({ tag: "sealed", image: idOf(repository, 1, { ...ALLOWLIST, bootable }) });
    expect(lookUpTag(repository, "img")).toBe(manifest);
    expect(lookUpTag(repository, "sealed")).toBe(report.manifest);
    const sealed = openImage(repository, "sealed");
    expect(imageConfigOf(sealed)!.labels.get(SEAL_LABEL)).toBe(report.image);
    expect(sealed.manifest.layers).toEqual(openImage(repository, "img").manifest.layers);
    expect(sealImage(repository, "sealed", { bootable })).toEqual(report);

    collectGarbage(repository, {});
    expect(readdirSync(join(repository.path, "images"))).toContain(report.image);
    expect((await checkRepository(repository)).errors).toEqual([]);
    expect(checkImages(repository)).toMatchObject({ imagesChecked: 2, errors: [] });
    expect(erofsImageOf(repository, "sealed", bootable)).toBe(report.image);
    expect(() => erofsImageOf(repository, "sealed", !bootable)).toThrow("is sealed: only");
  });

  test("in place, where a tag names the image", async () => {
    using l = lab();
    const repository = l.repository();
    const { manifest } = await pull(repository, l.write(), { tag: "img" });
    const { manifest: sealed } = sealImage(repository, "img");
    expect(lookUpTag(repository, "img")).toBe(sealed);
    expect(() => sealImage(repository, manifest)).toThrow("is no tag");
    expect(() => sealImage(repository, "nope")).toThrow("not found");
  });

  test("a sealed image refers to what the image refers to", async () => {
    using l = lab();
    const repository = l.repository();
    const subject = { mediaType: "application/x", digest: `sha256:${"a".repeat(64)}`, size: 1 };
    await pull(repository, l.write({ manifest: (manifest) => Object.assign(manifest, { subject }) }), {
      tag: "img",
    });
    const before = lookUpTag(repository, "img")!;
    const { manifest } = sealImage(repository, "img", { tag: "sealed" });
    expect(listReferrers(repository).get(subject.digest as OciDigest)).toEqual([before, manifest].sort());
  });

  /** How other repositories may have made the image that a label names. */
  const ways: [string, ErofsVersion, TreeOptions][] = ([0, 1, 2] as const).flatMap((version) => [
    [`V${version}`, version, ALLOWLIST] as [string, ErofsVersion, TreeOptions],
    [`V${version}, bootable`, version, { ...ALLOWLIST, bootable: true }],
    [`V${version}, bootable, user xattrs`, version, { xattrs: "keep-user-xattrs", bootable: true }],
  ]);
  test.each(ways)("a pulled image may be sealed as %s", async (_, version, options) => {
    using l = lab();
    const repository = l.repository();
    await pull(repository, l.write(), { tag: "img" });
    const id = idOf(repository, version, options);
    const reference = l.write(label(id));
    await pull(repository, reference, { tag: "sealed" });
    expect((await pull(repository, reference, { tag: "sealed" })).unchanged).toBe(true);
    expect(checkImages(repository).errors).toEqual([]);
    expect(erofsImageOf(repository, "sealed", options.bootable ?? false)).toBe(id);
    collectGarbage(repository, {});
    expect((await checkRepository(repository)).errors).toEqual([]);
    expect(checkImages(repository).errors).toEqual([]);
  });

  test.each([
    ["composefs.merged.erofs.v1.fsverity-sha256-12", false],
    ["composefs.merged.bootable.erofs.v1.fsverity-sha256-12", true],
  ])("annotation %s is verified", async (key, bootable) => {
    using l = lab();
    const repository = l.repository();
    await pull(repository, l.write(), { tag: "img" });
    const right = idOf(repository, 1, { ...ALLOWLIST, bootable });
    const other = idOf(repository, 1, { ...ALLOWLIST, bootable: !bootable });
    await pull(repository, l.write(annotation(key, right)), { tag: "sealed" });
    expect(erofsImageOf(repository, "sealed", bootable)).toBe(right);
    for (const wrong of [other, "0".repeat(64)]) {
      const error = await refusal(pull(repository, l.write(annotation(key, wrong)), { tag: "wrong" }));
      expect(error).toStartWith("Corrupt");
      expect(error).toContain(`sealed with ${wrong} (annotation ${key})`);
      expect(lookUpTag(repository, "wrong")).toBeUndefined();
    }
  });

  test("annotations for the other algorithm don't matter", async () => {
    using l = lab();
    const repository = l.repository();
    const key = "composefs.merged.erofs.v1.fsverity-sha512-12";
    await pull(repository, l.write(annotation(key, "0".repeat(128))), { tag: "img" });
    expect(lookUpTag(repository, "img")).toBeDefined();
  });

  test.each([
    ["another digest", "0".repeat(64), "Corrupt", "no EROFS image that can be made of it has this digest"],
    ["no digest", "sha256:00", "Invalid", "is no fs-verity digest"],
    ["a digest that can't be verified here", "0".repeat(128), "Unsupported", "sealed with a digest of fsverity-sha512-12"], // biome-ignore format: one line a case
  ])("%s is refused, and nothing is linked", async (_, value, kind, text) => {
    using l = lab();
    const repository = l.repository();
    const error = await refusal(pull(repository, l.write(label(value)), { tag: "img" }));
    expect(error).toStartWith(kind);
    expect(error).toContain(text);
    expect(lookUpTag(repository, "img")).toBeUndefined();
    const names = readdirSync(repository.path, { recursive: true, encoding: "utf8" });
    expect(names.filter((name) => /oci-(config|manifest)-/.test(name))).toEqual([]);
  });

  test("a link to another image than the sealed one is not mounted", async () => {
    using l = lab();
    const repository = l.repository(SHA512, 2);
    await pull(repository, l.write(), { tag: "img" });
    const { image } = sealImage(repository, "img");
    const object = join(repository.path, "objects", image.slice(0, 2), image.slice(2));
    await Bun.write(object, "something else");
    expect(() => erofsImageOf(repository, "img", false)).toThrow();
    expect(openImage(repository, "img").config.document.namedRefs.get(imageRef(2))).toBe(image);
  });
});
