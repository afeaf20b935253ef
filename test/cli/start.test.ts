import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { CFSCTL, cfsctl } from "../support/cfsctl.ts";
import { tempDir } from "../support/temp.ts";

/** Time of the fastest of some runs, in milliseconds: what the program needs, without what others do meanwhile. */
function fastest(args: readonly string[]): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 10; i++) {
    const start = performance.now();
    cfsctl(args);
    best = Math.min(best, performance.now() - start);
  }
  return best;
}

describe("start", () => {
  test("--version takes at most 20 ms", () => {
    expect(fastest(["--version"])).toBeLessThanOrEqual(20);
  });

  test("understanding a command line takes at most 60 ms", () => {
    expect(fastest(["gc", "--help"])).toBeLessThanOrEqual(60);
  });
});

describe("the directory where it is started", () => {
  test("can't change what the program does", () => {
    using dir = tempDir();
    writeFileSync(dir.join("evil.ts"), 'console.log("EVIL preload");');
    writeFileSync(dir.join("bunfig.toml"), 'preload = ["./evil.ts"]\n[run]\npreload = ["./evil.ts"]\n');
    writeFileSync(dir.join(".env"), "CFSCTL_JOBS=from-dot-env\n");
    writeFileSync(dir.join("tsconfig.json"), "{ not json");
    writeFileSync(dir.join("package.json"), "{ not json");
    const { code, stdout, stderr } = cfsctl(["init", "--insecure", "repo"], { cwd: dir.path });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toStartWith("Initialized composefs repository at repo\n");
    const images = cfsctl(["--repo", "repo", "images"], { cwd: dir.path });
    expect(images).toEqual({ code: 0, stdout: "No images found\n", stderr: "" });
  });

  test("the variable that the .env file sets would have been noticed", () => {
    expect(cfsctl(["gc"], { env: { CFSCTL_JOBS: "from-dot-env" } }).code).toBe(2);
  });
});

describe("stdout", () => {
  test("closed by its reader: quiet end", async () => {
    const child = Bun.spawn(["bash", "-c", `{ "${CFSCTL}" --help; echo "code $?" >&2; } | true`], {
      stdout: "pipe",
      stderr: "pipe",
    });
    await child.exited;
    expect(await new Response(child.stderr).text()).toBe("code 0\n");
  });

  test("full: an error and exit code 1", () => {
    const result = Bun.spawnSync(["bash", "-c", `"${CFSCTL}" --help > /dev/full`]);
    expect(result.exitCode).toBe(1);
    expect(result.stderr.toString()).toMatch(/^cfsctl: error: .*[Nn]o space left on device.*\n$/);
  });
});
