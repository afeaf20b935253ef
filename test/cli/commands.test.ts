import { expect, test } from "bun:test";
import { join } from "node:path";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { tempDir } from "../support/temp.ts";

const BASIC = `oci-archive:${join(import.meta.dir, "../../fixtures/oci/images/basic.tar")}:t`;

test("init says that --hash is not --algorithm", () => {
  using folder = tempDir();
  const init = (...args: string[]) => cfsctl([...args, "init", "--insecure", folder.join("r")]);
  expect(init("--hash", "sha256")).toMatchObject({
    code: 0,
    stderr: expect.stringContaining("--algorithm does"),
  });
  expect(init("--hash", "sha512")).toMatchObject({ code: 0, stderr: "" });
});

test("what is pulled, listed and checked can be had as JSON", () => {
  using folder = tempDir();
  cfsctlOk(["init", "--insecure", "--algorithm", "fsverity-sha256-12", folder.join("r")]);
  const json = (...args: string[]) => JSON.parse(cfsctlOk(["--repo", folder.join("r"), ...args, "--json"]));
  const pulled = json("oci", "pull", BASIC, "img");
  expect(pulled).toMatchObject({ tag: "img", unchanged: false, objects: { already_present: 0 } });
  expect(json("oci", "pull", BASIC, "img")).toMatchObject({
    ...pulled,
    unchanged: true,
    objects: { new: 0 },
  });
  expect(json("oci", "images").images).toMatchObject([{ name: "img", manifest_digest: pulled.manifest }]);
  expect(json("images")).toEqual({ images: [] });
  const inspected = JSON.parse(cfsctlOk(["--repo", folder.join("r"), "oci", "inspect", "img"]));
  const { objects } = json("image-objects", inspected.composefs_erofs);
  expect(objects).toEqual(
    cfsctlOk(["--repo", folder.join("r"), "image-objects", inspected.composefs_erofs])
      .trim()
      .split("\n"),
  );
  const [diffId] = JSON.parse(inspected.config).rootfs.diff_ids;
  expect(json("oci", "layer", diffId)).toMatchObject({
    splitstream: { externalObjects: expect.any(Number) },
  });
  expect([json("fsck").ok, json("oci", "fsck").ok]).toEqual([true, true]);
  expect(json("gc", "--dry-run")).toMatchObject({ dry_run: true, objects_removed: 0 });
});
