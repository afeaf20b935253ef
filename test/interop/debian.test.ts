import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { CFSCTL, cfsctlOk } from "../support/cfsctl.ts";
import { findReference } from "../support/reference.ts";
import { repositoryContent } from "../support/repository-content.ts";
import { hasTool } from "../support/skip.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { debianLayout, TAG } from "./debian-image.ts";
import { capabilities, command, differences, expectedOfImage, listTree } from "./tree-listing.ts";

const REFERENCE = findReference();

/** The layout, or why there is none. */
function available(): { layout: string } | { why: string } {
  if (process.getuid?.() !== 0) return { why: "needs root" };
  for (const tool of ["debootstrap", "umoci", "fsck.erofs", "getcap"]) {
    if (!hasTool(tool)) return { why: `needs ${tool}` };
  }
  if (REFERENCE === undefined) return { why: "needs the reference (test/interop/install-reference)" };
  try {
    return { layout: debianLayout() };
  } catch (error) {
    return { why: `no image could be made: ${(error as Error).message}` };
  }
}

const found = available();
const layout = "layout" in found ? found.layout : "";
if ("why" in found) console.log(`skipped: ${found.why}`);

describe.skipIf("why" in found)("a distribution in three layers", () => {
  let scratch: TempDir;
  let ours: string;
  let theirs: string;

  beforeAll(() => {
    scratch = tempDir();
    ours = scratch.join("ours");
    theirs = scratch.join("theirs");
  });
  afterAll(() => scratch[Symbol.dispose](), 60_000);

  test("gives the repository that the reference makes of it", () => {
    const [a, b] = [
      [CFSCTL, ours],
      [REFERENCE!, theirs],
    ].map(([program, repository]) => {
      const run = (...args: string[]) => command(program!, "--repo", repository!, ...args);
      run("init", "--insecure");
      const pulled = run("oci", "pull", `oci:${layout}:${TAG}`, "debian");
      run("gc");
      return {
        pulled: pulled.split("\n").filter((line) => !line.startsWith("verity ")),
        dump: sha256(run("oci", "dump", "debian")),
        id: run("oci", "compute-id", "debian"),
        images: run("oci", "images"),
        checked: run("oci", "fsck"),
        content: repositoryContent(repository!, "sha512"),
      };
    });
    expect(a!).toEqual(b!);
    expect(a!.checked).toContain("status: ok");
    expect(a!.content.objects.length).toBeGreaterThan(3000);
  }, 240_000);

  test("gives an image that fsck.erofs accepts", () => {
    const id = cfsctlOk(["--repo", ours, "oci", "compute-id", "debian"]).trim();
    // it exits with 1 when it finds something
    expect(command("fsck.erofs", join(ours, "images", id))).not.toContain("error");
  });

  test("is seen through the mount as umoci unpacks it", () => {
    const bundle = scratch.join("bundle");
    command("umoci", "unpack", "--image", `${layout}:${TAG}`, bundle);
    const unpacked = join(bundle, "rootfs");
    const mountpoint = scratch.join("mnt");
    mkdirSync(mountpoint);
    cfsctlOk(["--repo", ours, "oci", "mount", "debian", mountpoint]);
    try {
      const expected = expectedOfImage(listTree(unpacked));
      const seen = listTree(mountpoint);
      expect(differences(seen, expected)).toEqual([]);
      const total = [...seen.values()].reduce((sum, { size }) => sum + size, 0);
      expect(total).toBeGreaterThan(200e6);
      expect(capabilities(mountpoint)).toEqual(capabilities(unpacked));
      expect(capabilities(mountpoint).join()).toContain("opt/privileged");
    } finally {
      command("umount", mountpoint);
    }
  }, 120_000);
});

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
