import { expect, test } from "bun:test";
import { unlinkSync } from "node:fs";
import { join } from "node:path";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { PROJECT } from "../support/project.ts";
import { tempDir } from "../support/temp.ts";

const INDEXED = `oci-archive:${join(PROJECT, "fixtures/oci/images/index.tar")}:t`;
const INDEX = "sha256:d3d1d646a755e9b758ca3d263cd489b07304d7263222061f1145e3b0e2c40694";
const ARM64 = "sha256:95a6fbf6fc2983c71712d1c487056ed2e7bb382d406fad873cd1fa39f584abb8";
const AMD64 = "sha256:d9a1b09bd2a5e0afe9788298793ff5e3ed23577fc48a219e3b80f75a4ed3a37c";

test("oci pull --all-platforms says what it has pulled", () => {
  using dir = tempDir();
  const repository = ["--repo", dir.join("r")];
  cfsctlOk([...repository, "init", "--insecure"]);
  const pull = ["oci", "pull", "--all-platforms", "--platform", "linux/arm64", INDEXED, "x"];
  const lines = cfsctlOk([...repository, ...pull]).split("\n");
  expect(lines.slice(0, 4)).toEqual([
    `index    ${INDEX}`,
    `image    ${ARM64} linux/arm64`,
    `image    ${AMD64} linux/amd64`,
    `manifest ${ARM64}`,
  ]);
  expect(lines).toContain("tagged   x");

  const report = JSON.parse(cfsctlOk([...repository, ...pull, "--json"]));
  expect(report).toMatchObject({
    manifest: ARM64,
    tag: "x",
    unchanged: true,
    index: INDEX,
    images: [
      { platform: "linux/arm64", manifest: ARM64, unchanged: true },
      { platform: "linux/amd64", manifest: AMD64, unchanged: true },
    ],
  });

  cfsctlOk([...repository, "oci", "tag", "x", "y"]);
  cfsctlOk([...repository, "oci", "untag", "x"]);
  cfsctlOk([...repository, "gc"]);
  expect(cfsctl([...repository, "oci", "inspect", "--manifest", AMD64]).code).toBe(0);
  cfsctlOk([...repository, "oci", "untag", "y"]);
  cfsctlOk([...repository, "gc"]);
  expect(cfsctl([...repository, "oci", "inspect", "--manifest", AMD64]).code).toBe(1);
});

test("a damaged index doesn't hide the image", () => {
  using dir = tempDir();
  const repository = ["--repo", dir.join("r")];
  cfsctlOk([...repository, "init", "--insecure"]);
  cfsctlOk([...repository, "oci", "pull", "--all-platforms", "--platform", "linux/arm64", INDEXED, "x"]);
  unlinkSync(dir.join(`r/streams/oci-index-${INDEX}`));
  for (const show of [["inspect", "--summary", "x"], ["images"]]) {
    const { code, stdout, stderr } = cfsctl([...repository, "oci", ...show]);
    expect(code).toBe(0);
    expect(stdout).toContain(ARM64.slice("sha256:".length).slice(0, 12));
    expect(stderr).toContain(`warning: index of tag x: there is no index ${INDEX} in the repository`);
  }
  expect(cfsctl([...repository, "oci", "fsck"]).stdout).toContain("index-read-failed: x: ");
});
