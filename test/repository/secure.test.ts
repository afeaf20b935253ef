import { expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PROJECT } from "../support/project.ts";
import { hasTool } from "../support/skip.ts";
import { Scratch } from "./support.ts";

const BINARY = join(PROJECT, "dist/cfsctl");
/** An image in the repository that the vectors were recorded with. */
const IMAGE = "objects/24/eda7d2720f777e9171ce7aa72a9fc1cb94ee18a282d6d6028d42a8513ef611";

function missing(): string | undefined {
  if (process.arch !== "x64") return "the VM is for x86-64";
  if (!hasTool("qemu-system-x86_64")) return "needs qemu-system-x86_64";
  if (!existsSync(BINARY)) return "dist/cfsctl is not built";
  return process.env.CFSCTL_TEST_VM === "1" ? undefined : "takes 10 s: set CFSCTL_TEST_VM=1 to run it";
}

test("a repository on a file system with fs-verity", async () => {
  const why = missing();
  if (why !== undefined) {
    console.log(`skipped: ${why}`);
    return;
  }
  using scratch = new Scratch();
  const repository = scratch.unpack("repos/full-sha256.tar.gz");
  const guest = mkdtempSync(join(tmpdir(), "cfsctl-vm-"));
  try {
    copyFileSync(join(repository, IMAGE), join(guest, "image"));
    const script = join(import.meta.dir, "secure-guest.sh");
    const child = Bun.spawn([join(PROJECT, "test/vm/vm-run"), "--bin", BINARY, guest, script], {
      stdout: "pipe",
      stderr: "inherit",
    });
    const lines = (await new Response(child.stdout).text()).trimEnd().split("\n");
    expect(lines.filter((line) => !line.startsWith("ok: "))).toEqual([]);
    const checks = readFileSync(script, "utf8").match(/^(check|said) /gm);
    expect(lines.length).toBe(checks!.length);
  } finally {
    rmSync(guest, { recursive: true });
  }
}, 300_000);
