import { afterAll, beforeAll, expect, test } from "bun:test";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { addArtifact } from "../support/oci-artifact.ts";
import { type WrittenImage, writeLayout } from "../support/oci-layout.ts";
import { directory, file, noise, writeTar } from "../support/tar-writer.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

let dir: TempDir;
let image: WrittenImage;
let signature: string;
const run = (...args: string[]) =>
  cfsctlOk(["--repo", dir.join("repo"), "--progress", "none", "oci", ...args]);

beforeAll(() => {
  dir = tempDir();
  const layout = dir.join("layout");
  [image] = writeLayout(layout, [
    {
      tag: "image",
      layers: [{ tar: writeTar([directory("usr/"), file("usr/x", noise(9000, 1))]), packing: "plain" }],
      config: (config) => {
        config.created = "2024-01-02T03:04:05Z";
        config.variant = "v3";
        config.config = { Labels: { b: "two\nlines", a: "1" } };
      },
    },
  ]) as [WrittenImage];
  signature = addArtifact(layout, {
    tag: "signature",
    type: "application/x-sig",
    subject: image.manifest,
    blobs: [noise(2000, 1)],
    annotations: { made: "today" },
  });
  cfsctlOk(["init", "--insecure", "--algorithm", "fsverity-sha256-12", dir.join("repo")]);
  run("pull", `oci:${layout}:image`, "image", "--referrers");
});

afterAll(() => dir[Symbol.dispose]());

test("oci images --json: members of composefs-rs first, in its order", () => {
  const { images } = JSON.parse(run("images", "--json"));
  expect(images).toHaveLength(1);
  expect(Object.entries(images[0])).toEqual([
    ["name", "image"],
    ["manifest_digest", image.manifest],
    ["is_container", true],
    ["architecture", ARCHITECTURE],
    ["os", "linux"],
    ["created", "2024-01-02T03:04:05Z"],
    ["layer_count", 1],
    ["referrer_count", 1],
    ["config_digest", image.config],
    ["media_type", "application/vnd.oci.image.manifest.v1+json"],
    ["variant", "v3"],
    ["artifact_type", null],
    ["subject", null],
    ["size", expect.any(Number)],
    ["index", null],
    ["platforms", []],
  ]);
});

test("oci inspect --summary", () => {
  const erofs = JSON.parse(run("inspect", "image")).composefs_erofs;
  const [layer] = image.layers;
  const size = /Size {7}(.*)/.exec(run("inspect", "image", "--summary"))?.[1];
  expect(size).toEndWith(" KiB");
  expect(run("inspect", "image", "--summary")).toBe(`Manifest   ${image.manifest}
Config     ${image.config}
Tags       image
Type       application/vnd.oci.image.manifest.v1+json
Platform   linux/${ARCHITECTURE}/v3
Created    2024-01-02T03:04:05Z
Size       ${size}
EROFS      ${erofs} (format 1)
Label      a=1
Label      b=two\\x0alines

Layer 1    11.0 KiB, application/vnd.oci.image.layer.v1.tar
  digest   ${layer!.digest}
  diff ID  ${layer!.diffId}

Referrer   ${signature}
  type     application/x-sig
  size     2.0 KiB
`);
  expect(cfsctl(["oci", "inspect", "image", "--summary", "--manifest"]).code).toBe(2);
});

test("oci inspect --summary of an artifact", () => {
  expect(run("inspect", `@${signature}`, "--summary")).toStartWith(`Manifest   ${signature}
Config     sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
Type       application/x-sig
Subject    ${image.manifest}
Size       2.0 KiB
Annotation made=today

Layer 1    2.0 KiB, application/x-anything
`);
});

test("oci referrers", () => {
  const inRepository = {
    digest: signature,
    subject: image.manifest,
    media_type: "application/vnd.oci.image.manifest.v1+json",
    artifact_type: "application/x-sig",
    size: expect.any(Number),
    content_size: 2002,
    annotations: { made: "today" },
    tags: [],
  };
  expect(JSON.parse(run("referrers", "image", "--json"))).toEqual({ referrers: [inRepository] });
  expect(JSON.parse(run("referrers", `@${image.manifest}`, "--json"))).toEqual({ referrers: [inRepository] });
  const { content_size: _, tags: __, ...remote } = inRepository;
  const source = `oci:${dir.join("layout")}:image`;
  expect(JSON.parse(run("referrers", source, "--json"))).toMatchObject({
    referrers: [{ digest: remote.digest, subject: remote.subject, size: remote.size }],
  });
  expect(run("referrers", "image", "--artifact-type", "application/other")).toBe("No referrers found\n");
  expect(run("referrers", "image")).toContain(`│ ${signature} ┆ application/x-sig ┆ 2.0 KiB ┆      │`);
  const { code, stderr } = cfsctl(["--repo", dir.join("repo"), "oci", "referrers", "nope"]);
  expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining("nope") });
});

test("gc keeps a referrer without a tag as long as its image", () => {
  const gc = () => JSON.parse(cfsctlOk(["--repo", dir.join("repo"), "gc", "--json"]));
  expect(gc().objects_removed).toBe(0);
  run("untag", "image");
  expect(gc().objects_removed).toBeGreaterThan(5);
  expect(gc().objects_removed).toBe(0);
});
