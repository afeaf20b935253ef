import { existsSync, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A directory that is removed at the end of its scope: `using dir = tempDir();` */
export interface TempDir extends Disposable {
  readonly path: string;
  join(...parts: string[]): string;
}

/** @param below where to make it: another file system than the usual one, for example */
export function tempDir(below: string = process.env.TEST_TMPDIR ?? tmpdir()): TempDir {
  const path = mkdtempSync(join(below, "cfsctl-test-"));
  return {
    path,
    join: (...parts) => join(path, ...parts),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

const MEMORY = "/dev/shm";

/** As `tempDir`, in memory where there is room for so many bytes: for tests that would mostly wait for the disk. */
export function tempDirInMemory(bytes: number): TempDir {
  if (!existsSync(MEMORY)) return tempDir();
  const { bavail, bsize } = statfsSync(MEMORY);
  return bavail * bsize > bytes ? tempDir(MEMORY) : tempDir();
}
