import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { cfsctl, cfsctlOk, runCfsctl } from "../support/cfsctl.ts";
import { writeContainersHome } from "../support/containers-home.ts";
import { type WrittenImage, writeLayout } from "../support/oci-layout.ts";
import { startRegistry } from "../support/registry.ts";
import { directory, file, noise, writeTar } from "../support/tar-writer.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

let scratch: TempDir;
let old: WrittenImage;
let young: WrittenImage;
let repository: string;
let env: Record<string, string>;

const run = (...args: string[]) => cfsctl(["--repo", repository, "--progress", "none", ...args], { env });
const create = (...args: string[]) => run("oci", "delta", "create", ...args);

beforeAll(() => {
  scratch = tempDir();
  repository = scratch.join("repository");
  // Where everything that is needed only for a while has to be gone in the end.
  env = { TMPDIR: scratch.join("temporary") };
  const program = noise(200_000, 1);
  const layers = (body: Uint8Array) => [
    { tar: writeTar([directory("usr/"), file("usr/kept", noise(9000, 2))]) },
    { tar: writeTar([directory("usr/"), file("usr/program", body), file("usr/other", noise(30_000, 3))]) },
  ];
  [old, young] = writeLayout(scratch.join("layout"), [
    { tag: "1", layers: layers(program) },
    { tag: "2", layers: layers(Buffer.concat([noise(9, 4), program])) },
  ]) as [WrittenImage, WrittenImage];
  cfsctlOk(["--repo", repository, "init", "--insecure"]);
  cfsctlOk(["--repo", repository, "oci", "pull", `oci:${scratch.join("layout")}:1`, "app1"]);
});
afterAll(() => scratch[Symbol.dispose]());

const layout = (tag: string) => `oci:${scratch.join("layout")}:${tag}`;

describe("oci delta create", () => {
  test("says what was made, and leaves nothing else behind", () => {
    const destination = `oci:${scratch.join("delta")}:1to2`;
    const { code, stdout, stderr } = create("app1", layout("2"), destination);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout.split("\n")).toEqual([
      expect.stringMatching(/^manifest sha256:[0-9a-f]{64}$/),
      `source   ${old.manifest}`,
      `target   ${young.manifest}`,
      `pushed   ${destination}`,
      "layers   1 differences + 0 as published + 1 of the source image",
      expect.stringMatching(/^size {5}\S+ B instead of \S+ KiB$/),
      "",
    ]);
    expect(existsSync(env.TMPDIR!) ? readdirSync(env.TMPDIR!) : []).toEqual([]);
    // Nothing was added to the repository.
    expect(run("oci", "images").stdout).not.toContain("app2");
    const pulled = run("oci", "pull", destination, "app2");
    expect(pulled.stdout, pulled.stderr).toContain(`manifest ${young.manifest}\n`);
    expect(run("fsck").code).toBe(0);
    run("oci", "untag", "app2");
    run("gc");
  });

  test("--json; without a repository, to an archive, with a tag", () => {
    const archive = scratch.join("delta.tar");
    const options = ["--format", "v2", "--tag", "x", "--compression-level", "3", "--json"];
    const result = cfsctl(
      ["--no-repo", "oci", "delta", "create", layout("1"), layout("2"), `oci-archive:${archive}`, ...options],
      { env },
    );
    expect(result.code, result.stderr).toBe(0);
    expect(JSON.parse(result.stdout)).toEqual({
      destination: `oci-archive:${archive}:x`,
      manifest: expect.stringMatching(/^sha256:/),
      source: { manifest: old.manifest, config: old.config },
      target: { manifest: young.manifest, config: young.config },
      layers: [
        {
          digest: young.layers[0]!.digest,
          diff_id: young.layers[0]!.diffId,
          size: expect.any(Number),
          delta: null,
        },
        {
          digest: young.layers[1]!.digest,
          diff_id: young.layers[1]!.diffId,
          size: expect.any(Number),
          delta: {
            media_type: "application/vnd.tar-diff",
            digest: expect.stringMatching(/^sha256:/),
            size: expect.any(Number),
          },
        },
      ],
    });
    expect(readdirSync(env.TMPDIR!)).toEqual([]);
  });

  test.each([
    ["a source that is not there", ["missing", "TARGET", "oci:d"], 1, "OCI reference not found: missing"],
    ["a place that can't be written", ["app1", "TARGET", "dir:d"], 1, "images can't be pushed to dir:"],
    ["two tags", ["app1", "TARGET", "oci:d:a", "--tag", "b"], 2, "has a tag already"],
    ["no repository for a tag", ["--no-repo", "app1", "TARGET", "oci:d"], 1, "needs a repository"],
  ])("%s", (_, args, code, message) => {
    const result = create(...args.map((text) => (text === "TARGET" ? layout("2") : text)));
    expect([result.code, result.stdout]).toEqual([code, ""]);
    expect(result.stderr).toContain(message);
    expect(existsSync("d")).toBe(false);
  });
});

test("oci delta inspect says of what each layer is made", () => {
  const delta = `oci:${scratch.join("inspected")}`;
  create("app1", layout("2"), delta);
  const { stdout, stderr, code } = cfsctl(["oci", "delta", "inspect", delta], { env });
  expect(code, stderr).toBe(0);
  expect(stdout).toContain(`needs    config ${old.config}\n`);
  expect(stdout).toMatch(/ ┆ of the source ┆ - /);
  expect(stdout).toMatch(/ ┆ v1 +┆ \S+ B .*┆ 224\.\d KiB \(9\d %\)/);
  const json = JSON.parse(cfsctlOk(["oci", "delta", "inspect", delta, "--json"], { env }));
  expect(json.target).toEqual({ manifest: young.manifest, config: young.config });
  expect(json.layers[0].delta).toBeNull();
  const { copied_bytes, patched_bytes, new_bytes, operations, version } = json.layers[1].delta;
  expect([version, operations.zstd_dict, operations.open]).toEqual([1, 0, 2]);
  expect(copied_bytes + patched_bytes + new_bytes).toBe(1024 + 2 * 512 + 512 + 200_192 + 30_208);
  const image = cfsctl(["oci", "delta", "inspect", layout("1")], { env });
  expect([image.code, image.stdout]).toEqual([1, ""]);
  expect(image.stderr).toContain("is no delta");
});

test("a delta in a registry is a referrer of its target, and is found from there", async () => {
  using registry = await startRegistry();
  const home = writeContainersHome(scratch.join("home"), {
    registries: `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n`,
  });
  const online = (...args: string[]) =>
    runCfsctl(["--repo", repository, "--progress", "none", ...args], { env: { ...env, ...home } });
  const place = `docker://${registry.host}/team/app`;
  await online("oci", "pull", "--keep-blobs", layout("2"), "app2");
  await online("oci", "push", "app2", `${place}:2`);
  await online("oci", "untag", "app2");
  await online("gc");
  const created = await online("oci", "delta", "create", "app1", `${place}:2`, place, "--json");
  expect(created.code, created.stderr).toBe(0);
  const { manifest } = JSON.parse(created.stdout);
  const { referrers } = JSON.parse((await online("oci", "referrers", `${place}:2`, "--json")).stdout);
  expect(referrers.map(({ digest }: { digest: string }) => digest)).toEqual([manifest]);
  expect(registry.content.manifest("team/app", "latest")).toBeUndefined();
  const pulled = await online("oci", "pull", "--delta", "require", `${place}:2`, "app2");
  expect(pulled.stdout, pulled.stderr).toContain(`manifest ${young.manifest}\n`);
});
