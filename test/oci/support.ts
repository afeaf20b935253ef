import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { openSource } from "../../src/oci/open-source.ts";
import { type PullOptions, type PullReport, pullImage } from "../../src/oci/pull/pull.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { initRepository } from "../../src/repository/init.ts";
import type { ErofsVersion } from "../../src/repository/meta.ts";
import { Repository } from "../../src/repository/repository.ts";
import type { Algorithm } from "../../src/verity/digest.ts";
import { splitTar } from "../tar/split.ts";

export const FIXTURES = join(import.meta.dir, "../../fixtures/oci");

/** Creates and opens a repository that needs no fs-verity. */
export function newRepository(
  path: string,
  algorithm: Algorithm,
  erofsVersion: ErofsVersion = 1,
): Repository {
  initRepository(path, { algorithm, erofsVersion, verity: false });
  return Repository.open(path);
}

/** Pulls with one thread, as the command does. */
export async function pull(
  repository: Repository,
  reference: string,
  options: PullOptions = {},
): Promise<PullReport> {
  using source = openSource(parseReference(reference), repository.dir.fd);
  return await pullImage(repository, source, { jobs: 1, ...options });
}

/** Unpacks a small archive of regular files. */
export function unpack(archive: string, directory: string): void {
  const tar = new Uint8Array(readFileSync(archive));
  const { entries, chunks } = splitTar(tar, tar.length);
  const external = chunks.filter(({ inline }) => !inline).map(({ bytes }) => bytes);
  for (const entry of entries) {
    const path = join(directory, entry.path);
    if (entry.type === "directory") mkdirSync(path, { recursive: true });
    if (entry.type !== "file") continue;
    mkdirSync(dirname(path), { recursive: true });
    if (entry.size > 64) writeFileSync(path, external.shift()!);
    else writeFileSync(path, smallBody(tar, entry.path, entry.size));
  }
}

/** Body of a small member: it follows the header, which begins with the name. */
function smallBody(tar: Uint8Array, name: string, size: number): Uint8Array {
  for (let at = 0; at < tar.length; at += 512) {
    const header = Buffer.from(tar.subarray(at, at + 100)).toString("latin1");
    if (header.slice(0, header.indexOf("\0")) === name) return tar.subarray(at + 512, at + 512 + size);
  }
  throw new Error(`${name} is not in the archive`);
}
