import { cpSync, lstatSync, readdirSync, readFileSync, readlinkSync, rmSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { openSource } from "../../src/oci/open-source.ts";
import { pullImage } from "../../src/oci/pull/pull.ts";
import { pullReferrers } from "../../src/oci/pull/referrers.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { writeTag } from "../../src/oci/tags.ts";
import { LocalRepository } from "../../src/ostree/local/repository.ts";
import { pullCommit } from "../../src/ostree/pull/pull.ts";
import { silentProgress } from "../../src/progress.ts";
import { createImage } from "../../src/repository/create-image.ts";
import { collectGarbage } from "../../src/repository/gc.ts";
import { initRepository } from "../../src/repository/init.ts";
import { Repository } from "../../src/repository/repository.ts";
import { algorithmOf, type HashName } from "../../src/verity/digest.ts";
import { unpackRepository } from "../ostree/support.ts";
import { addArtifact } from "../support/oci-artifact.ts";
import { writeLayout } from "../support/oci-layout.ts";
import { directory, file, noise, writeTar } from "../support/tar-writer.ts";

/** A repository with a bit of everything, and what each of its refs needs. */
export interface SampleRepository {
  readonly path: string;
  /** OCI layout and ostree repository that it was made from. */
  readonly layout: string;
  readonly ostree: string;
  /** Paths of all objects and links, `refs` included. */
  readonly objects: readonly string[];
  readonly entries: readonly string[];
  readonly refs: readonly string[];
  /** Ref → paths of the objects and entries that have to be there for it. */
  readonly needs: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Makes the repository in a new directory `repository` below `scratch`, from sources beside it. */
export async function makeSampleRepository(scratch: string, hash: HashName): Promise<SampleRepository> {
  const path = join(scratch, "repository");
  const layout = join(scratch, "layout");
  writeImages(layout);
  const ostree = unpackRepository("archive", join(scratch, "ostree"));
  initRepository(path, { algorithm: algorithmOf(hash), erofsVersion: 1, verity: false });
  using repository = Repository.open(path);
  const source = (tag: string) => openSource(parseReference(`oci:${layout}:${tag}`), repository.dir.fd);
  {
    using one = source("one");
    const { manifest } = await pullImage(repository, one, { tag: "one", keepBlobs: true, jobs: 1 });
    await pullReferrers(repository, one, [manifest], { jobs: 1 });
    writeTag(repository, manifest, "registry.example/one:1.0");
  }
  {
    using two = source("two");
    await pullImage(repository, two, { tag: "two", jobs: 1 });
  }
  await using commits = LocalRepository.open(ostree);
  await pullCommit(repository, commits, await commits.resolveRef("test/main"), { ref: "main", jobs: 1 });
  Bun.spawnSync(["cp", "-r", join(layout, "blobs"), join(scratch, "tree")]);
  for (const name of ["", ...readdirSync(join(scratch, "tree"), { recursive: true, encoding: "utf8" })])
    utimesSync(join(scratch, "tree", name), 1_700_000_000, 1_700_000_000);
  await createImage(repository, join(scratch, "tree"), {
    ref: "os/tree",
    xattrs: undefined,
    jobs: 1,
    progress: silentProgress,
  });
  collectGarbage(repository);
  const all = listRepository(path);
  const refs = all.filter((name) => name.includes("/refs/"));
  return {
    path,
    layout,
    ostree,
    objects: all.filter((name) => name.startsWith("objects/")),
    entries: all.filter((name) => /^(streams|images)\/(?!refs\/)/.test(name)),
    refs,
    needs: new Map(refs.map((ref) => [ref, neededBy(path, ref, refs)])),
  };
}

/** Two images with a layer in common, one of them with what refers to it. */
function writeImages(layout: string): void {
  const shared = writeTar([
    directory("usr/"),
    ...[1, 65, 100, 5000, 300_000].map((size) => file(`usr/shared-${size}`, noise(size, size))),
  ]);
  const [one] = writeLayout(layout, [
    { tag: "one", layers: [{ tar: shared }, { tar: writeTar([file("usr/one", noise(9000, 1))]) }] },
    {
      tag: "two",
      layers: [{ tar: shared }, { tar: writeTar([file("usr/two", noise(700, 2))]), packing: "zstd" }],
    },
  ]);
  addArtifact(layout, {
    tag: "about-one",
    type: "application/x-about",
    subject: one!.manifest,
    blobs: [noise(3000, 3)],
  });
}

/** What is left when all other refs are removed: found by removing, not by looking what refers to what. */
function neededBy(path: string, ref: string, refs: readonly string[]): ReadonlySet<string> {
  const copy = `${path}-of-one-ref`;
  cpSync(path, copy, { recursive: true, verbatimSymlinks: true });
  for (const other of refs) if (other !== ref) rmSync(join(copy, other));
  {
    using repository = Repository.open(copy);
    collectGarbage(repository);
  }
  const left = new Set(listRepository(copy));
  rmSync(copy, { recursive: true });
  return left;
}

/** Paths below a repository of all that is no directory, sorted. */
export function listRepository(path: string, below = ""): string[] {
  return readdirSync(join(path, below), { withFileTypes: true })
    .flatMap((entry) => {
      const name = join(below, entry.name);
      return entry.isDirectory() ? listRepository(path, name) : [name];
    })
    .sort();
}

/** Path, and digest of the content or target, of all that is in a repository but what was set aside. */
export function snapshot(path: string): string[] {
  return listRepository(path)
    .filter((name) => !name.startsWith("lost+found/"))
    .map((name) => {
      const full = join(path, name);
      if (lstatSync(full).isSymbolicLink()) return `${name} -> ${readlinkSync(full)}`;
      return `${name} ${Bun.hash(readFileSync(full))}`;
    });
}
