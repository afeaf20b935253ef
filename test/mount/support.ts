import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "../support/project.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

const FIXTURES = join(PROJECT, "fixtures/repository");

/** A directory with a repository `r`, the source `src` of its image `rootfs`, and `mnt`, unmounted at the end. */
export interface MountLab extends TempDir {
  readonly repository: string;
  readonly mountpoint: string;
}

/** @param archive below fixtures/repository/repos */
export function mountLab(archive = "full-sha256.tar.gz"): MountLab {
  const dir = tempDir();
  unpack(join(FIXTURES, "repos", archive), dir.path);
  unpack(join(FIXTURES, "inputs/src-tree.tar.gz"), dir.path);
  const mountpoint = dir.join("mnt");
  mkdirSync(mountpoint);
  return {
    ...dir,
    repository: dir.join("r"),
    mountpoint,
    [Symbol.dispose]: () => {
      while (mountLine(mountpoint) !== undefined) Bun.spawnSync(["umount", "-l", mountpoint]);
      dir[Symbol.dispose]();
    },
  };
}

function unpack(archive: string, where: string): void {
  const result = Bun.spawnSync(["tar", "-xpzf", archive, "-C", where]);
  if (!result.success) throw new Error(`tar: ${result.stderr}`);
}

/** The line of /proc/mounts about a mountpoint: what is on top there. */
export function mountLine(mountpoint: string): string | undefined {
  return readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .findLast((line) => line.split(" ")[1] === mountpoint);
}

/** One line for each file: path, type and mode, owner, times, and the content's digest or the link's target. */
export function describeTree(root: string): string[] {
  const lines: string[] = [];
  const visit = (path: string) => {
    const full = join(root, path);
    const stat = lstatSync(full, { bigint: true });
    const what = stat.isSymbolicLink()
      ? readlinkSync(full)
      : stat.isFile()
        ? `${stat.size} ${createHash("sha256").update(readFileSync(full)).digest("hex")}`
        : "";
    lines.push(`${path} ${stat.mode.toString(8)} ${stat.uid}:${stat.gid} ${stat.mtimeNs} ${what}`);
    if (stat.isDirectory()) for (const name of readdirSync(full).sort()) visit(join(path, name));
  };
  visit(".");
  return lines;
}
