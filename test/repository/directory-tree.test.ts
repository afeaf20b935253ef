import { describe, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { writeImage } from "../../src/erofs/writer.ts";
import { silentProgress } from "../../src/progress.ts";
import { createImage } from "../../src/repository/create-image.ts";
import { directoryTree } from "../../src/repository/directory-tree.ts";
import { initRepository } from "../../src/repository/init.ts";
import { Repository } from "../../src/repository/repository.ts";
import type { Directory } from "../../src/tree/model.ts";
import { lookup } from "../../src/tree/walk.ts";
import { SHA256 } from "../../src/verity/digest.ts";
import { fsVerityDigest } from "../../src/verity/merkle.ts";
import { Scratch } from "./support.ts";

const FILES = "etc/selinux/targeted/contexts/files";
const OPTIONS = {
  algorithm: SHA256,
  xattrs: "allowlist-only",
  bootable: true,
  jobs: 1,
  progress: silentProgress,
} as const;

/** A root directory whose policy is too large to be kept inline. */
function rootDirectory(scratch: Scratch): string {
  const root = scratch.join("root");
  for (const name of ["boot/loader", "sysroot/ostree", "usr/bin", FILES])
    mkdirSync(`${root}/${name}`, { recursive: true });
  writeFileSync(`${root}/etc/selinux/config`, "SELINUXTYPE=targeted\n");
  writeFileSync(`${root}/${FILES}/file_contexts`, `# ${"x".repeat(100)}\n/usr(/.*)? u:r:usr_t:s0\n`);
  writeFileSync(`${root}/usr/bin/sh`, "x".repeat(5000));
  writeFileSync(`${root}/boot/vmlinuz`, "x".repeat(6000));
  utimesSync(`${root}/usr`, 1_700_000_000, 1_700_000_000);
  return root;
}

describe("the bootable tree of a directory", () => {
  test("has the labels of its own policy, and nothing in /boot and /sysroot", async () => {
    using scratch = new Scratch();
    const root = await directoryTree(rootDirectory(scratch), OPTIONS);
    const at = (path: string) => lookup(root, path) as Directory;
    expect(at("usr/bin/sh").stat.xattrs.get("security.selinux")).toBe("u:r:usr_t:s0");
    expect(at("etc/selinux/config").stat.xattrs.size).toBe(0);
    for (const name of ["boot", "sysroot"]) {
      expect(at(name).entries.size).toBe(0);
      expect(at(name).stat.mtime).toBe(1_700_000_000n);
    }
  });

  test("is the same whether files are stored or not", async () => {
    using scratch = new Scratch();
    const path = rootDirectory(scratch);
    initRepository(scratch.join("r"), { algorithm: SHA256, erofsVersion: 1, verity: false });
    using repository = Repository.open(scratch.join("r"));
    const id = await createImage(repository, path, OPTIONS);
    const image = writeImage(await directoryTree(path, OPTIONS), 1, SHA256);
    expect(fsVerityDigest(image, SHA256)).toBe(id);
  });

  test("does not follow links to a policy", async () => {
    using scratch = new Scratch();
    const path = rootDirectory(scratch);
    symlinkSync("file_contexts", `${path}/${FILES}/file_contexts.local`);
    await expect(directoryTree(path, OPTIONS)).rejects.toThrow("making the tree bootable");
  });
});
