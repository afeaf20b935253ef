import { expect } from "bun:test";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { PROJECT } from "../support/project.ts";
import { findReference } from "../support/reference.ts";
import { testNeeding } from "../support/skip.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

/** Images that other tools wrote to local places: their digests must be those that skopeo sees. */

const IMAGES = join(PROJECT, "fixtures/oci/images");
const SAVED = join(PROJECT, "fixtures/oci/docker-archive/hardlinks.tar");

function run(command: string, ...args: readonly string[]): Buffer {
  const { exitCode, stdout, stderr } = Bun.spawnSync([command, ...args]);
  if (exitCode !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr.toString()}`);
  return stdout;
}

const copy = (from: string, to: string, ...more: readonly string[]) =>
  run("skopeo", "copy", "-q", "--insecure-policy", ...more, from, to);

function newRepository(dir: TempDir): string[] {
  const repository = ["--repo", dir.join("r")];
  cfsctlOk([...repository, "init", "--insecure"]);
  return repository;
}

/** Pulls, and compares the manifest's digest with that of the one skopeo shows. */
function expectSameManifest(repository: readonly string[], reference: string): void {
  const { manifest } = JSON.parse(cfsctlOk([...repository, "oci", "pull", "--json", reference, "x"]));
  const raw = run("skopeo", "inspect", "--raw", reference);
  expect(manifest).toBe(`sha256:${createHash("sha256").update(raw).digest("hex")}`);
  expect(cfsctl([...repository, "oci", "fsck"])).toMatchObject({ code: 0, stderr: "" });
}

testNeeding({ tool: "skopeo" })("manifests are those that skopeo shows", () => {
  using dir = tempDir();
  const repository = newRepository(dir);
  const images = ["hardlinks", "same-layer-twice", "empty-layers", "names", "opaque"];
  for (const name of images) {
    const archive = `docker-archive:${dir.join(`${name}.tar`)}`;
    copy(`oci-archive:${join(IMAGES, `${name}.tar`)}:t`, `${archive}:test/${name}:v1`);
    expectSameManifest(repository, archive);
    expectSameManifest(repository, `${archive}:test/${name}:v1`);
    for (const [kind, from] of [
      ["oci", `oci-archive:${join(IMAGES, `${name}.tar`)}:t`],
      ["saved", archive],
    ] as const) {
      copy(from, `dir:${dir.join(kind + name)}`);
      expectSameManifest(repository, `dir:${dir.join(kind + name)}`);
    }
  }
});

testNeeding({ tool: "skopeo" })("an index in a directory", () => {
  using dir = tempDir();
  const repository = newRepository(dir);
  copy(`oci-archive:${join(IMAGES, "index.tar")}:t`, `dir:${dir.join("all")}`, "--all");
  const report = JSON.parse(
    cfsctlOk([...repository, "oci", "pull", "--json", "--all-platforms", `dir:${dir.join("all")}`, "x"]),
  );
  const raw = run("skopeo", "inspect", "--raw", `dir:${dir.join("all")}`);
  expect(report.index).toBe(`sha256:${createHash("sha256").update(raw).digest("hex")}`);
  expect(report.images.map((image: { platform: string }) => image.platform)).toEqual([
    "linux/arm64",
    "linux/amd64",
  ]);
});

testNeeding({ tool: "skopeo" })("composefs-rs keeps what is kept with an index", () => {
  using dir = tempDir();
  const reference = findReference();
  if (reference === undefined) {
    console.log("skipped: needs composefs-rs");
    return;
  }
  const repository = newRepository(dir);
  const source = `oci-archive:${join(IMAGES, "index.tar")}:t`;
  cfsctlOk([...repository, "oci", "pull", "--all-platforms", source, "x"]);
  expect(run(reference, ...repository, "gc").toString()).toContain("Objects: 0 removed");
  expect(run(reference, ...repository, "fsck").toString()).toContain("status: ok");
  expect(run(reference, ...repository, "oci", "fsck").toString()).toContain("oci images: 1/1 ok");
  cfsctlOk([...repository, "oci", "untag", "x"]);
  run(reference, ...repository, "gc");
  expect(run("ls", dir.join("r/streams")).toString().trim()).toBe("refs");
});

testNeeding({ tool: "skopeo" })("a docker archive gives the tree that the layout gives", () => {
  using dir = tempDir();
  const repository = newRepository(dir);
  cfsctlOk([...repository, "oci", "pull", `docker-archive:${SAVED}`, "saved"]);
  cfsctlOk([...repository, "oci", "pull", `oci-archive:${join(IMAGES, "hardlinks.tar")}:t`, "original"]);
  const id = (name: string) => cfsctlOk([...repository, "oci", "compute-id", name]);
  expect(id("saved")).toBe(id("original"));
});
