import { expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { PROJECT } from "../support/project.ts";
import { findReference } from "../support/reference.ts";
import { testNeeding } from "../support/skip.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

/** Images as other tools write them; the digest is compared with that of composefs-rs where that is installed. */

function run(command: string, ...args: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([command, ...args]);
  if (exitCode !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr.toString()}`);
  return stdout.toString().trim();
}

function pullAndCompare(dir: TempDir, source: string): string {
  const ours = ["--repo", dir.join("ours")];
  cfsctlOk([...ours, "init", "--insecure"]);
  cfsctlOk([...ours, "oci", "pull", source, "image"]);
  expect(cfsctl([...ours, "oci", "fsck"])).toMatchObject({ code: 0, stderr: "" });
  const reference = findReference();
  if (reference === undefined) console.log("skipped: comparison with composefs-rs, which is not installed");
  else {
    const theirs = ["--repo", dir.join("theirs")];
    run(reference, ...theirs, "init", "--insecure");
    run(reference, ...theirs, "oci", "pull", source, "image");
    const id = run(reference, ...theirs, "oci", "compute-id", "image");
    expect(cfsctlOk([...ours, "oci", "compute-id", "image"]).trim()).toBe(id);
    // each works on what the other wrote
    expect(cfsctlOk([...theirs, "oci", "compute-id", "image"]).trim()).toBe(id);
    expect(run(reference, ...ours, "oci", "compute-id", "image")).toBe(id);
  }
  return cfsctlOk([...ours, "oci", "dump", "image"]);
}

const demo = join(PROJECT, "fixtures", "demo", "hello.oci.tar");

test("the image of the demonstration", () => {
  using dir = tempDir();
  const dump = pullAndCompare(dir, `oci-archive:${demo}`);
  expect(dump).toContain("/usr/share/hello/greeting.txt ");
  expect(dump).not.toContain("obsolete");
});

testNeeding({ tool: "skopeo" })("a layout written by skopeo", () => {
  using dir = tempDir();
  run("skopeo", "copy", "-q", "--insecure-policy", `oci-archive:${demo}`, `oci:${dir.join("layout")}:hello`);
  expect(pullAndCompare(dir, `oci:${dir.join("layout")}:hello`)).toContain("/usr/share/hello/greeting.txt ");
});

testNeeding({ tool: "umoci" })("a layout written by umoci", () => {
  using dir = tempDir();
  const image = `${dir.join("layout")}:made`;
  run("umoci", "init", "--layout", dir.join("layout"));
  run("umoci", "new", "--image", image);
  const repack = (bundle: string, change: (root: string) => void) => {
    run("umoci", "unpack", "--rootless", "--image", image, dir.join(bundle));
    change(dir.join(bundle, "rootfs"));
    run("umoci", "repack", "--image", image, dir.join(bundle));
  };
  repack("one", (root) => {
    mkdirSync(join(root, "usr/share"), { recursive: true });
    writeFileSync(
      join(root, "usr/share/large.txt"),
      "A file that is longer than sixty-four bytes. ".repeat(100),
    );
    writeFileSync(join(root, "usr/share/gone.txt"), "This one is removed by a whiteout. ".repeat(10));
  });
  repack("two", (root) => rmSync(join(root, "usr/share/gone.txt")));
  const dump = pullAndCompare(dir, `oci:${image}`);
  expect(dump).toContain("/usr/share/large.txt 4500 ");
  expect(dump).not.toContain("gone");
});
