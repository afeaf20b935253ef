/**
 * Shows the built program at work on the image in fixtures/demo: `npm start`.
 * Needs no network; the mount at the end needs root.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PROJECT = join(import.meta.dir, "..");
const CFSCTL = join(PROJECT, "dist", "cfsctl");
const IMAGE = join(PROJECT, "fixtures", "demo", "hello.oci.tar");

/** What composefs-rs 0.9.4 answers for the same image. */
const EXPECTED_ID =
  "53f473f66691d6e11eb3573f0d8bbacd4e7f536d78995b98f39eca3b6b4b43068bb1c7bfd8a493cdf5e94ec7cf8fa7003e37dcfeb0faed1be347211e68b6aa88";

const work = mkdtempSync(join(tmpdir(), "cfsctl-demo-"));
const repository = join(work, "repository");
const mountpoint = join(work, "mountpoint");

/** Runs and shows a command. */
function show(command: string, args: readonly string[]): { readonly ok: boolean; readonly stdout: string } {
  const shown = [command, ...args].map((word) => word.replaceAll(work, "WORK").replaceAll(`${PROJECT}/`, ""));
  console.log(`\n$ ${shown.join(" ")}`);
  const result = Bun.spawnSync([command === "cfsctl" ? CFSCTL : command, ...args], { stderr: "inherit" });
  const stdout = result.stdout.toString();
  if (stdout !== "") console.log(stdout.replaceAll(work, "WORK").trimEnd());
  return { ok: result.exitCode === 0, stdout };
}

function must(command: string, args: readonly string[]): string {
  const { ok, stdout } = show(command, args);
  if (!ok) throw new Error(`${command} failed`);
  return stdout;
}

const cfsctl = (...args: readonly string[]) => must("cfsctl", ["--repo", repository, ...args]);

try {
  cfsctl("init", "--insecure");
  cfsctl("oci", "pull", `oci-archive:${IMAGE}`, "hello");
  cfsctl("oci", "images");
  cfsctl("oci", "fsck");
  const id = cfsctl("oci", "compute-id", "hello").trim();
  if (id !== EXPECTED_ID) throw new Error(`composefs-rs computes ${EXPECTED_ID} for this image`);
  console.log("(the digest that composefs-rs computes, too)");

  if (process.getuid?.() !== 0) console.log("\nThe mount is left out: it needs root.");
  else {
    mkdirSync(mountpoint);
    if (show("cfsctl", ["--repo", repository, "oci", "mount", "hello", mountpoint]).ok) {
      try {
        must("cat", [join(mountpoint, "usr/share/hello/greeting.txt")]);
        must("ls", ["-R", join(mountpoint, "usr")]);
      } finally {
        must("umount", [mountpoint]);
      }
    } else console.log("\nThe rest is left out: this machine refuses the mount, for the reason above.");
  }
  console.log("\nAll of this was done by dist/cfsctl. Try 'dist/cfsctl --help'.");
} catch (error) {
  console.error(`\nThe demonstration failed: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}
