import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bytesOf } from "../../src/bytes.ts";
import { parseDumpfile } from "../../src/tree/dumpfile.ts";
import type { Directory } from "../../src/tree/model.ts";
import { objectPath, SHA256 } from "../../src/verity/digest.ts";
import { CFSCTL } from "../support/cfsctl.ts";
import { Choices } from "../support/choices.ts";
import { blobPath, type LayerSpec, type WrittenImage, writeLayout } from "../support/oci-layout.ts";
import { PACKINGS, randomLayers, randomTar } from "../support/random-layers.ts";
import { findReference } from "../support/reference.ts";
import { findTarPatch } from "../support/tar-patch.ts";
import { file, noise, type TarItem } from "../support/tar-writer.ts";
import { tempDirInMemory } from "../support/temp.ts";

const SEED = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const PAIRS = Number(process.env.TEST_IMAGES ?? 10);

const tarPatch = findTarPatch();
const reference = findReference();
if (reference === undefined) console.log("skipped: needs the reference (test/interop/install-reference)");
if (tarPatch === undefined) console.log("skipped in part: needs tar-patch (test/interop/install-tar-patch)");

const TYPES = ["symlink", "fifo", "directory", "char"] as const;

/** A later version of a file: edited, shortened, longer, empty, all different. */
function changedBody(body: Uint8Array, choices: Choices): Uint8Array {
  const at = choices.below(body.length + 1);
  const more = noise(choices.of([1, 40, 3000]), choices.below(1000));
  switch (choices.below(7)) {
    case 0:
      return new Uint8Array(0);
    case 1:
      return body.subarray(0, at);
    case 2:
      return Buffer.concat([body, more, body]);
    case 3:
      return noise(body.length, choices.below(1000));
    case 4:
      return Buffer.concat([body.subarray(at), body.subarray(0, at)]);
    default: {
      const patched = Buffer.concat([body.subarray(0, at), more, body.subarray(at)]);
      for (let left = choices.below(9); left > 0; left--) patched[choices.below(patched.length)]! ^= 0x5a;
      return patched;
    }
  }
}

function changedItem(item: TarItem, choices: Choices): TarItem[] {
  const { path, type = "file", body } = item;
  if (path === "usr/" || choices.chance(0.4)) return [item];
  if (choices.chance(0.05)) return [];
  if (choices.chance(0.05)) return [file(`${path}-moved`, body ?? "text"), item];
  if (choices.chance(0.1)) return [{ path, type: choices.of(TYPES), target: "usr", device: [1, 3] }];
  return type === "file" && body !== undefined ? [{ ...item, body: changedBody(body, choices) }] : [item];
}

/** Files of all sizes; those of the random layers are small. */
function largerFiles(index: number, choices: Choices): TarItem[] {
  const text = Buffer.from(noise(30_000, index))
    .toString("base64")
    .repeat(choices.of([1, 8]));
  return [
    file("usr/text", text),
    file("usr/twice", text.slice(0, 20_000)),
    file("usr/program", noise(choices.of([20_000, 400_000]), index + 1)),
    file("usr/zeros", new Uint8Array(choices.of([70_000, 3_000_000]))),
    ...(choices.chance(0.05) ? [file("usr/huge", noise(40 * 1024 * 1024, index + 2))] : []),
  ];
}

function writePair(directory: string, index: number, choices: Choices): [WrittenImage, WrittenImage] {
  const layers = randomLayers(index, choices);
  layers[0]!.push(...largerFiles(index, choices));
  const packed = (items: readonly TarItem[]): LayerSpec => ({
    tar: randomTar(items, choices),
    packing: choices.of(PACKINGS),
  });
  const source = layers.map(packed);
  const target = layers.map((items, i) =>
    choices.chance(0.2) ? source[i]! : packed(items.flatMap((item) => changedItem(item, choices))),
  );
  if (choices.chance(0.3)) target.push(packed(randomLayers(index + 1000, choices)[0]!));
  const [from] = writeLayout(join(directory, "source"), [{ tag: "t", layers: source }]);
  const [to] = writeLayout(join(directory, "target"), [{ tag: "t", layers: target }]);
  return [from!, to!];
}

/** Regular files of an image of the reference, in directories. */
function unpack(root: Directory, repository: string, path: Buffer): void {
  mkdirSync(path);
  for (const [name, node] of root.entries) {
    const inner = Buffer.concat([path, bytesOf(`/${name}`)]);
    if (node.kind === "directory") unpack(node, repository, inner);
    else if (node.content.type === "inline") writeFileSync(inner, bytesOf(node.content.data));
    else if (node.content.type === "external")
      linkSync(join(repository, "objects", objectPath(node.content.id)), inner);
  }
}

interface DeltaManifest {
  readonly layers: { mediaType: string; digest: string; annotations: Record<string, string> }[];
}

function readDelta(layout: string): DeltaManifest {
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
  return JSON.parse(readFileSync(blobPath(layout, index.manifests[0].digest), "utf8"));
}

/** Applies every tar-diff of a version 1 delta with a program that knows nothing of images. */
function expectPatches(delta: string, files: string, target: WrittenImage): void {
  for (const { mediaType, digest, annotations } of readDelta(delta).layers) {
    if (mediaType !== "application/vnd.tar-diff") continue;
    const to = annotations["io.github.containers.delta.to"];
    const patched = Bun.spawnSync([tarPatch!, blobPath(delta, digest), files, "-"], { stderr: "pipe" });
    const diffId = target.layers.find((layer) => layer.digest === to)!.diffId;
    const found = `sha256:${createHash("sha256").update(patched.stdout).digest("hex")}`;
    expect(found, patched.stderr.toString()).toBe(diffId);
  }
}

test.skipIf(reference === undefined)(
  "deltas between random images are applied by the reference, by tar-patch and by us",
  () => {
    console.log(`TEST_SEED=${SEED}`);
    const choices = new Choices(SEED);
    let applied = 0;
    for (let index = 0; index < PAIRS; index++) {
      using scratch = tempDirInMemory(600e6);
      const [, target] = writePair(scratch.path, index, choices);
      const run = (program: string, repository: string, ...args: string[]) => {
        const result = Bun.spawnSync([program, "--repo", scratch.join(repository), ...args], {
          env: { ...process.env, TMPDIR: scratch.path },
          stderr: "pipe",
        });
        const stderr = result.stderr.toString();
        return { code: result.exitCode, stdout: result.stdout, stderr };
      };
      const init = ["init", "--insecure", "--algorithm", "fsverity-sha256-12"];
      const pull = (program: string, repository: string, name: string) =>
        run(program, repository, "oci", "pull", `oci:${scratch.join(name)}`, name);
      const id = (program: string, repository: string, name: string) =>
        run(program, repository, "oci", "compute-id", name).stdout.toString();
      run(reference!, "plain", ...init);
      run(reference!, "theirs", ...init);
      run(CFSCTL, "ours", ...init);
      // The reference does not take every image.
      if (pull(reference!, "theirs", "source").code !== 0) continue;
      if (pull(reference!, "plain", "target").code !== 0) continue;
      pull(CFSCTL, "ours", "source");
      for (const format of ["v1", "v2"]) {
        const layout = `oci:${scratch.join(format)}`;
        // From the repository, where the source is, or from the layout.
        const source = choices.chance(0.5) ? "source" : `oci:${scratch.join("source")}`;
        const more = choices.chance(0.5) ? ["--jobs", "1"] : [];
        const created = run(
          CFSCTL,
          "ours",
          ...["oci", "delta", "create", source, `oci:${scratch.join("target")}`, layout],
          ...["--format", format, ...more],
        );
        expect(created.code, created.stderr).toBe(0);
        for (const [program, repository] of [
          [reference!, "theirs"],
          [CFSCTL, "ours"],
        ] as const) {
          const pulled = pull(program, repository, format);
          expect(pulled.code, `pair ${index} ${format}: ${pulled.stderr}`).toBe(0);
          expect(id(program, repository, format)).toBe(id(reference!, "plain", "target"));
          // The next one is to be applied, too.
          run(program, repository, "oci", "untag", format);
          run(program, repository, "gc");
        }
      }
      if (tarPatch !== undefined) {
        const dump = run(reference!, "theirs", "oci", "dump", "source").stdout;
        const files = scratch.join("files");
        unpack(parseDumpfile(dump, SHA256), scratch.join("theirs"), Buffer.from(files));
        expectPatches(scratch.join("v1"), files, target);
      }
      applied++;
    }
    console.log(`applied ${applied} of ${PAIRS}`);
    expect(applied).toBeGreaterThan(PAIRS / 4);
  },
  1_800_000,
);
