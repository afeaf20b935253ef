import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeImage } from "../../src/erofs/writer.ts";
import { parseDumpfile } from "../../src/tree/dumpfile.ts";
import { SHA256 } from "../../src/verity/digest.ts";
import { handMadeCases, VERSIONS } from "./support/vectors.ts";

const fsck = Bun.which("fsck.erofs");

/**
 * Version 2 has no chunk table for files without enforced digest, and one entry for files of any size. The kernel never
 * looks there; fsck.erofs walks the table and falls off the image. The bytes are the reference's.
 */
const WALKS_MISSING_TABLES = new Set([
  "external-sizes 2",
  "external-xattr-chunk-table 2",
  "sparse-sizes 2",
  "noverity-sizes 2",
]);

test("fsck.erofs of erofs-utils accepts images", () => {
  if (fsck === null) {
    console.log("skipped: fsck.erofs is not installed");
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), "cfsctl-fsck-"));
  try {
    const refused: string[] = [];
    for (const { name, dumpfile } of handMadeCases()) {
      for (const version of VERSIONS) {
        if (WALKS_MISSING_TABLES.has(`${name} ${version}`)) continue;
        const file = join(folder, `${name}.v${version}`);
        writeFileSync(file, writeImage(parseDumpfile(Buffer.from(dumpfile), SHA256), version, SHA256));
        const { exitCode, stdout, stderr } = Bun.spawnSync([fsck, file]);
        if (exitCode !== 0) refused.push(`${name} ${version}: ${stdout}${stderr}`);
      }
    }
    expect(refused).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 20_000);
