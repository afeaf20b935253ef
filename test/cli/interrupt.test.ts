import { describe, expect, test } from "bun:test";
import { CFSCTL, cfsctlOk } from "../support/cfsctl.ts";
import { tempDir } from "../support/temp.ts";

describe.each(["SIGINT", "SIGTERM"] as const)("%s", (signal) => {
  test("ends the program at once, and the repository stays whole", async () => {
    using dir = tempDir();
    const repo = dir.join("repo");
    cfsctlOk(["init", "--insecure", repo]);
    // waits for its input for ever
    const child = Bun.spawn([CFSCTL, "--repo", repo, "import-image", "x"], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    await Bun.sleep(200);
    expect(child.exitCode).toBeNull();
    const start = performance.now();
    child.kill(signal);
    await child.exited;
    expect(performance.now() - start).toBeLessThan(500);
    expect(child.signalCode).toBe(signal);
    expect(await new Response(child.stderr).text()).toBe("");
    expect(cfsctlOk(["--repo", repo, "fsck"])).toContain("status: ok");
  });
});
