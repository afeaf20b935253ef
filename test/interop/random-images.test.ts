import { expect, test } from "bun:test";
import { CFSCTL } from "../support/cfsctl.ts";
import { Choices } from "../support/choices.ts";
import { type ImageSpec, type LayerSpec, type Packing, writeLayout } from "../support/oci-layout.ts";
import { findReference } from "../support/reference.ts";
import { repositoryContent } from "../support/repository-content.ts";
import { directory, file, noise, type TarItem, writeTar } from "../support/tar-writer.ts";
import { tempDirInMemory } from "../support/temp.ts";

const SEED = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const IMAGES = Number(process.env.TEST_IMAGES ?? 20);

const NAMES = ["a", "b", "c", "usr", "run", "x".repeat(120), "\xc3\xa9", "\xff", "with space", ".wh", "~"];
const SIZES = [0, 1, 63, 64, 65, 100, 511, 512, 513, 4095, 4096, 4097, 9000];
const PACKINGS: Packing[] = ["plain", "gzip", "zstd", "gzip-members", "zstd-frames", "zstd-skippable"];
const XATTRS: Record<string, string>[] = [
  { "security.capability": "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0" },
  { "user.a": "1", "user.b": "" },
  { "trusted.overlay.opaque": "y", "security.selinux": "label\0" },
  { "security.capability": "", "user.overlay.whiteout": "y" },
];

/** Entries that have their parents, hard links with their targets; a few have not, to be refused. */
function randomItems(
  choices: Choices,
  seed: number,
  directories: Set<string>,
  leaves: Set<string>,
): TarItem[] {
  const items: TarItem[] = [];
  const forget = (path: string) => {
    for (const known of [directories, leaves]) {
      for (const name of known) if (name === path || name.startsWith(`${path}/`)) known.delete(name);
    }
  };
  for (let left = 1 + choices.below(25); left > 0; left--) {
    const parent = choices.chance(0.998) ? choices.of([...directories]) : choices.of(NAMES);
    const below = (name: string) => (parent === "" ? name : `${parent}/${name}`);
    const path = below(choices.of(NAMES));
    const metadata = {
      mode: choices.below(0o10000),
      uid: choices.below(2_000_000),
      gid: choices.below(100_000),
      mtime: choices.of([0, 1, 1_700_000_000, 2 ** 31, 2 ** 33 - 1]),
      ...(choices.chance(0.2) && { fraction: choices.of(["5", "123456789", "000000001", "9999999999"]) }),
      ...(choices.chance(0.2) && { xattrs: choices.of(XATTRS) }),
    };
    const kind = choices.below(100);
    if (kind < 25 || path === "usr" || path === "run") {
      items.push(directory(`${choices.of(["", "./", "/"])}${path}${choices.of(["", "/"])}`, metadata));
      leaves.delete(path);
      directories.add(path);
    } else if (kind < 38) {
      const name = choices.of(NAMES);
      if (name === "usr" && parent === "") continue;
      items.push(file(below(choices.chance(0.2) ? ".wh..wh..opq" : `.wh.${name}`), "", metadata));
      if (items.at(-1)!.path.endsWith(".opq")) {
        for (const known of [...directories, ...leaves]) {
          if (parent === "" || known.startsWith(`${parent}/`)) forget(known);
        }
        directories.add("");
        if (parent === "") {
          items.push(directory("usr"));
          directories.add("usr");
        }
      } else forget(below(name));
    } else if (kind < 50 && leaves.size > 0) {
      const target = choices.of(["", "/", "./"]) + choices.of([...leaves]);
      if (target.endsWith(path)) continue;
      items.push({ path, type: "hardlink", target, ...metadata });
      forget(path);
      leaves.add(path);
    } else {
      if (kind < 80) items.push(file(path, noise(choices.of(SIZES), seed + choices.below(10)), metadata));
      else if (kind < 90) {
        const target = choices.of(["a", "../usr", "/etc/passwd", "t".repeat(300), ".", "x".repeat(4095)]);
        items.push({ path, type: "symlink", target, ...metadata });
      } else {
        const type = choices.of(["fifo", "char", "block"] as const);
        const device = choices.of([[0, 0] as const, [1, 3] as const, [4095, 1_048_575] as const]);
        items.push({ path, type, device, ...metadata });
      }
      forget(path);
      leaves.add(path);
    }
  }
  return items;
}

/** Files are shared within an image only: the reference keeps those of images that it refuses. */
function randomImage(index: number, choices: Choices): ImageSpec {
  const directories = new Set(["", "usr"]);
  const leaves = new Set<string>();
  const layers: LayerSpec[] = [];
  for (let left = 1 + choices.below(4); left > 0; left--) {
    const items = randomItems(choices, index * 10, directories, leaves);
    const tar = writeTar(layers.length === 0 ? [directory("usr/"), ...items] : items);
    // a second archive behind the first is kept, but not looked at
    const more = choices.chance(0.1) ? writeTar([file("behind", "text")]) : new Uint8Array(0);
    layers.push({ tar: Buffer.concat([tar, more]), packing: choices.of(PACKINGS) });
  }
  return { tag: `t${index}`, layers };
}

const reference = findReference();
if (reference === undefined) console.log("skipped: needs the reference (test/interop/install-reference)");

test.skipIf(reference === undefined)(
  "what the reference makes of random images, we make of them too",
  () => {
    console.log(`TEST_SEED=${SEED}`);
    using scratch = tempDirInMemory(300e6);
    const choices = new Choices(SEED);
    const images = Array.from({ length: IMAGES }, (_, i) => randomImage(i, choices));
    writeLayout(scratch.join("layout"), images);
    const run = (program: string, repository: string, ...args: string[]) => {
      const result = Bun.spawnSync([program, "--repo", scratch.join(repository), ...args], {
        env: { ...process.env, RUST_BACKTRACE: "0" },
        stderr: "pipe",
      });
      return {
        code: result.exitCode,
        stdout: result.stdout.toString("latin1"),
        stderr: result.stderr.toString(),
      };
    };
    for (const [program, repository] of [
      [CFSCTL, "ours"],
      [reference!, "theirs"],
    ] as const) {
      run(program, repository, "init", "--insecure", "--algorithm", "fsverity-sha256-12");
    }
    let pulled = 0;
    for (const { tag } of images) {
      const pull = ["oci", "pull", `oci:${scratch.join("layout")}:${tag}`, tag];
      const theirs = run(reference!, "theirs", ...pull);
      if (theirs.code !== 0) continue;
      pulled++;
      const ours = run(CFSCTL, "ours", ...pull);
      const lines = ({ stdout }: { stdout: string }) =>
        stdout.split("\n").filter((line) => !/^verity /.test(line));
      expect(lines(ours), `${tag}: ${ours.stderr}`).toEqual(lines(theirs));
      for (const xattrs of ["allowlist-only", "keep-user-xattrs"]) {
        const dump = ["oci", "dump", "--xattrs", xattrs, tag];
        expect(run(CFSCTL, "ours", ...dump), tag).toEqual(run(reference!, "theirs", ...dump));
      }
      for (const version of ["0", "1", "2"]) {
        const id = ["--erofs-version", version, "oci", "compute-id", tag];
        expect(run(CFSCTL, "ours", ...id), tag).toEqual(run(reference!, "theirs", ...id));
      }
    }
    expect(pulled).toBeGreaterThan(IMAGES / 3);
    for (const [program, repository] of [
      [CFSCTL, "ours"],
      [reference!, "theirs"],
    ] as const) {
      // each also finds the other's work sound; layers of images that were refused are collected
      for (const checker of [CFSCTL, reference!])
        expect(run(checker, repository, "oci", "fsck").code).toBe(0);
      run(program, repository, "gc");
    }
    expect(repositoryContent(scratch.join("ours"), "sha256")).toEqual(
      repositoryContent(scratch.join("theirs"), "sha256"),
    );
  },
  600_000,
);
