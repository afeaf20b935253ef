import { expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { CAP_SYS_ADMIN, hasCapability } from "../../src/sys/capability.ts";
import { ENOENT, isErrno } from "../../src/sys/errno.ts";
import { AT_FDCWD } from "../../src/sys/file.ts";
import { renameNoReplace } from "../../src/sys/rename.ts";
import { tempDir } from "../support/temp.ts";

test("renameNoReplace keeps what is there", () => {
  using dir = tempDir();
  const rename = (from: string, to: string) =>
    renameNoReplace(AT_FDCWD, dir.join(from), AT_FDCWD, dir.join(to));
  writeFileSync(dir.join("a"), "a");
  writeFileSync(dir.join("b"), "b");
  expect(rename("a", "b")).toBe(false);
  expect(readFileSync(dir.join("b"), "utf8")).toBe("b");
  expect(rename("a", "c")).toBe(true);
  expect([existsSync(dir.join("a")), readFileSync(dir.join("c"), "utf8")]).toEqual([false, "a"]);
  try {
    rename("none", "d");
    expect.unreachable();
  } catch (error) {
    expect(isErrno(error, ENOENT)).toBe(true);
  }
});

test("capabilities are those that /proc shows", () => {
  const effective = BigInt(
    `0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))![1]}`,
  );
  for (let capability = 0; capability < 41; capability++) {
    expect(hasCapability(capability)).toBe(((effective >> BigInt(capability)) & 1n) === 1n);
  }
  expect(hasCapability(CAP_SYS_ADMIN)).toBe(((effective >> 21n) & 1n) === 1n);
});
