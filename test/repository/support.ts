import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initRepository } from "../../src/repository/init.ts";
import { type OpenOptions, Repository } from "../../src/repository/repository.ts";
import { SHA256 } from "../../src/verity/digest.ts";

const FIXTURES = join(import.meta.dir, "../../fixtures/repository");

/** A directory that vanishes at the end of a `using` block. */
export class Scratch implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "cfsctl-repository-"));

  join(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  /** Unpacks a stored repository; it becomes `r`. */
  unpack(archive: string): string {
    const result = Bun.spawnSync(["tar", "-xzf", join(FIXTURES, archive), "-C", this.path]);
    if (!result.success) throw new Error(`tar: ${result.stderr}`);
    return this.join("r");
  }

  /** A fresh repository that needs no fs-verity. */
  init(): string {
    initRepository(this.join("r"), { algorithm: SHA256, erofsVersion: 1, verity: false });
    return this.join("r");
  }

  mkdir(...parts: string[]): string {
    const path = this.join(...parts);
    mkdirSync(path, { recursive: true });
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Opens a repository and keeps what it says. */
export function openListening(
  path: string,
  options: OpenOptions = {},
): { repository: Repository; said: string[] } {
  const said: string[] = [];
  const listen = (message: string) => void said.push(message);
  return { repository: Repository.open(path, { onNotice: listen, onWait: listen, ...options }), said };
}
