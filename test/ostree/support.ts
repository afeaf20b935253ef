import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { initRepository } from "../../src/repository/init.ts";
import type { ErofsVersion } from "../../src/repository/meta.ts";
import { Repository } from "../../src/repository/repository.ts";
import { algorithmOf, type HashName } from "../../src/verity/digest.ts";
import { PROJECT } from "../support/project.ts";

export const FIXTURES = join(PROJECT, "fixtures/ostree");

export function fixtureJson<T>(name: string): T {
  return JSON.parse(readFileSync(join(FIXTURES, name), "utf8")) as T;
}

/** Unpacks a repository of ostree, with owners and extended attributes as far as the user may set them. */
export function unpackRepository(name: string, directory: string): string {
  mkdirSync(directory, { recursive: true });
  const tar = Bun.spawnSync(
    [
      "tar",
      "--xattrs",
      "--xattrs-include=*",
      "--numeric-owner",
      "-xpzf",
      join(FIXTURES, `repos/${name}.tar.gz`),
      "-C",
      directory,
    ],
    { stderr: "pipe" },
  );
  if (!tar.success) throw new Error(`tar: ${tar.stderr.toString()}`);
  return join(directory, name);
}

/** A new repository that does not ask for fs-verity. */
export function newRepository(path: string, hash: HashName, erofsVersion: ErofsVersion = 1): Repository {
  initRepository(path, { algorithm: algorithmOf(hash), erofsVersion, verity: false });
  return Repository.open(path);
}

function links(directory: string, prefix = ""): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(join(directory, prefix))) {
    const path = join(prefix, name);
    const status = lstatSync(join(directory, path));
    if (status.isSymbolicLink()) found[path] = readlinkSync(join(directory, path));
    else if (status.isDirectory()) Object.assign(found, links(directory, path));
  }
  return found;
}

/** Symbolic links of a repository below `images/` and `streams/`, with their targets. */
export function linksOf(repository: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const category of ["images", "streams"]) {
    try {
      Object.assign(found, links(repository, category));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  return found;
}
