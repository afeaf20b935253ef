import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseChecksum } from "../../src/ostree/checksum.ts";
import { LocalRepository } from "../../src/ostree/local/repository.ts";
import { pullCommit } from "../../src/ostree/pull/pull.ts";
import { silentProgress } from "../../src/progress.ts";
import { createImage } from "../../src/repository/create-image.ts";
import { algorithmOf, type HashName } from "../../src/verity/digest.ts";
import { newRepository, pull } from "../oci/support.ts";
import { fixtureJson, unpackRepository } from "../ostree/support.ts";
import { writeLayout } from "../support/oci-layout.ts";
import { directory, file, noise, writeTar } from "../support/tar-writer.ts";

const COMMITS = fixtureJson<{ commits: { archive: Record<string, string> } }>("expected.json").commits
  .archive;

/** Bytes of the largest object. */
export const LARGE = 5 * 1024 * 1024 + 17;

/** Tag, in `sampleRepository`, of the image with the largest object. */
export const TAG = "registry.example/os:1";

/**
 * A repository with all that there can be: two container images with a layer in common, a commit of ostree, an image of
 * a directory.
 */
export async function sampleRepository(path: string, hash: HashName, scratch: string): Promise<string> {
  using repository = newRepository(path, algorithmOf(hash));
  const layout = join(scratch, "layout");
  const base = writeTar([
    directory("usr/"),
    directory("usr/share/"),
    ...Array.from({ length: 40 }, (_, i) => file(`usr/share/small-${i}`, noise(65 + i * 101, i))),
    file("usr/share/replaced", noise(6000, 6)),
  ]);
  writeLayout(layout, [
    {
      tag: "one",
      layers: [{ tar: base }, { tar: writeTar([directory("usr/"), file("usr/large", noise(LARGE, 8))]) }],
    },
    {
      tag: "two",
      layers: [
        { tar: base },
        {
          tar: writeTar([
            directory("usr/"),
            directory("usr/share/"),
            file("usr/share/replaced", noise(7000, 9)),
          ]),
        },
      ],
    },
  ]);
  await pull(repository, `oci:${layout}:one`, { tag: TAG });
  await pull(repository, `oci:${layout}:two`, { tag: "two" });
  await using ostree = LocalRepository.open(unpackRepository("archive", join(scratch, "ostree")));
  for (const ref of ["c1", "other"]) {
    const commit = parseChecksum(COMMITS[ref]!, ref);
    await pullCommit(repository, ostree, commit, { jobs: 1, ref: `os/${ref}` });
  }
  const tree = join(scratch, "tree");
  mkdirSync(join(tree, "usr/bin"), { recursive: true });
  for (let i = 0; i < 20; i++) writeFileSync(join(tree, "usr/bin", `tool-${i}`), noise(i * 1000, 1000 + i));
  await createImage(repository, tree, {
    ref: "plain/tree",
    xattrs: undefined,
    jobs: 1,
    progress: silentProgress,
  });
  return path;
}
