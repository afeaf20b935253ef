import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "../../src/errors.ts";
import { countOperations } from "../../src/ostree/delta/count-operations.ts";
import { openDeltaFile } from "../../src/ostree/delta/delta-file.ts";
import { describeParts } from "../../src/ostree/delta/describe-delta.ts";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { testNeeding } from "../support/skip.ts";
import { tempDir } from "../support/temp.ts";
import { FIXTURES, fixtureJson, unpackRepository } from "./support.ts";

const { commits } = fixtureJson<{ commits: { archive: Record<"c1" | "c2" | "c3", string> } }>(
  "expected.json",
);
const { c1, c2, c3 } = commits.archive;

test("parts of a delta in a single file", async () => {
  const parts = await describeParts(openDeltaFile(join(FIXTURES, "deltas/good/scratch-c3-inline-3parts")));
  expect(
    parts.map(({ isCompressed, modes, xattrs, dataSize }) => [isCompressed, modes, xattrs, dataSize]),
  ).toEqual([
    [true, 4, 5, 662236],
    [true, 1, 1, 1400000],
    [true, 8, 2, 97231],
  ]);
  expect(parts.map(({ operations }) => operations.wholeObject)).toEqual([37, 1, 25]);
});

test("operations that nobody knows, and numbers that are cut", () => {
  expect(() => countOperations(Uint8Array.of(0x5a), [])).toThrow("unknown delta opcode 0x5a");
  expect(() => countOperations(Uint8Array.of(0x77, 1), [])).toThrow("varint extends past end");
});

test("a part that was changed", async () => {
  using directory = tempDir();
  const bytes = readFileSync(join(FIXTURES, "deltas/good/scratch-c3-inline-3parts"));
  const path = directory.join("delta");
  const { start } = openDeltaFile(join(FIXTURES, "deltas/good/scratch-c3-inline-3parts")).superblock.parts[1]!
    .inline!;
  bytes[start + 100]! ^= 1;
  writeFileSync(path, bytes);
  const error = await describeParts(openDeltaFile(path)).catch((e: unknown) => e);
  expect(describeError(error)).toContain("delta part 1: checksum mismatch");
});

describe("the command", () => {
  testNeeding({ tool: "ostree" })("says what ostree says", () => {
    using directory = tempDir();
    const archive = unpackRepository("archive", directory.path);
    // Of deltas with parts inside, ostree 2022.7 shows nothing.
    const shown = JSON.parse(cfsctlOk(["ostree", "delta", "inspect", "--json", archive, c2, "test/main"]));
    const show = ["ostree", "static-delta", "show", `--repo=${archive}`, `${c2}-${c3}`];
    const { stdout } = Bun.spawnSync(show);
    const [part] = shown.parts;
    const ops = part.operations;
    const expected = [
      `Timestamp: ${shown.timestamp}\n`,
      `Number of fallback entries: ${shown.fallbacks.length}\n`,
      `PartMeta0: nobjects=${part.objects.length} size=${part.stored_size} usize=${part.content_size}\n`,
      `PartPayload0: nmodes=${part.modes} nxattrs=${part.xattrs} blobsize=${part.data_size} opsize=${part.operations_size}\n`,
      `PartPayloadOps0: openspliceclose=${ops.whole_object} open=${ops.open} write=${ops.write} setread=${ops.set_source} unsetread=${ops.unset_source} close=${ops.close} bspatch=${ops.bspatch}\n`,
      `Total Size: ${shown.stored_size} (`,
      `Total Uncompressed Size: ${shown.content_size} (`,
    ];
    for (const line of expected) expect(stdout.toString()).toContain(line);
    expect(ops.bspatch).toBe(4);
  });

  test("for people", () => {
    const signed = cfsctlOk([
      "ostree",
      "delta",
      "inspect",
      join(FIXTURES, "deltas/good/scratch-c1-signed-wrapper"),
    ]);
    expect(signed).toContain(`from      nothing\nto        ${c1}\n`);
    expect(signed).toContain("signed    1 ostree.sign.ed25519\n");
    expect(cfsctl(["ostree", "delta", "inspect", "x", "y"]).code).toBe(2);
    expect(cfsctl(["ostree", "delta", "inspect", "/nowhere/at/all"]).code).toBe(1);
  });
});
