import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { ROOT } from "../../src/cli/commands.ts";
import { manPage } from "../../src/cli/man-page.ts";
import type { CommandSpec } from "../../src/cli/tree.ts";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { testNeeding } from "../support/skip.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

const env = { SOURCE_DATE_EPOCH: "1700000000" };

function pages(dir: TempDir): string[] {
  cfsctlOk(["man", "--output", dir.join("man1")], { env });
  return readdirSync(dir.join("man1")).map((name) => dir.join("man1", name));
}

function run(command: string, ...args: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([command, ...args], {
    env: { ...process.env, LC_ALL: "C.UTF-8", MANWIDTH: "80" },
  });
  expect({ command, stderr: stderr.toString(), exitCode }).toEqual({ command, stderr: "", exitCode: 0 });
  return stdout.toString();
}

function* names(command: CommandSpec, path: string): Generator<string> {
  yield `${path}.1`;
  for (const sub of command.subcommands ?? []) if (!sub.hidden) yield* names(sub, `${path}-${sub.name}`);
}

describe("manual pages", () => {
  test("are there for every command, and the same every time", () => {
    using dir = tempDir();
    const found = pages(dir);
    expect(readdirSync(dir.join("man1")).sort()).toEqual([...names(ROOT, "cfsctl")].sort());
    for (const path of found) {
      const words = path.slice(path.lastIndexOf("/") + 1, -2);
      expect(readFileSync(path, "utf8")).toStartWith(`.TH "${words.toUpperCase()}" 1 "2023-11-14" "cfsctl `);
    }
    expect(cfsctlOk(["man", "oci", "pull"], { env })).toBe(
      readFileSync(dir.join("man1/cfsctl-oci-pull.1"), "utf8"),
    );
    expect(cfsctl(["man", "oci", "nonsense"]).code).toBe(2);
  });

  testNeeding({ tool: "mandoc" })("are good man(7)", () => {
    using dir = tempDir();
    expect(run("mandoc", "-T", "lint", ...pages(dir))).toBe("");
    const shown = run("mandoc", "-T", "utf8", "-O", "width=80", dir.join("man1/cfsctl-gc.1"))
      // Bold is a character over itself.
      .replaceAll(new RegExp(`.${String.fromCharCode(8)}`, "g"), "");
    expect(shown).toContain("cfsctl gc [OPTIONS]");
    expect(shown).toMatch(/ {7}-r, --root ROOT\n {14}Keep this image or stream as well\./);
  });

  testNeeding({ tool: "groff" })("are shown by groff without a warning", () => {
    using dir = tempDir();
    for (const path of pages(dir)) run("groff", "-man", "-Tascii", "-ww", "-z", path);
  });

  testNeeding({ tool: "lexgrog" })("are found by apropos", () => {
    using dir = tempDir();
    const lines = run("lexgrog", ...pages(dir))
      .trim()
      .split("\n");
    expect(
      lines.some((line) =>
        line.endsWith('cfsctl-gc.1: "cfsctl-gc - remove objects that nothing needs any more"'),
      ),
    ).toBe(true);
    expect(lines.filter((line) => line.includes("parse failed"))).toEqual([]);
  });

  test("take nothing for a request, and keep what is typed in one piece", () => {
    const command: CommandSpec = {
      name: "x-y",
      summary: "Do .this",
      description: "'Quoted' words. .TH is no request. See `a --long-option`, oci-archive:FILE and C:\\path.",
      options: [{ name: "dry-run", kind: "boolean", help: ".so /etc/passwd" }],
    };
    const page = manPage([command], { version: 'v "1"', date: "2026-01-01" });
    expect(
      page
        .split("\n")
        .filter((line) => /^[.']/.test(line) && !/^\.(TH "|SH|nh|ad|TP|PP|BR|RS|RE)/.test(line)),
    ).toEqual([]);
    expect(page).toContain('"v \\(dq1\\(dq"');
    expect(page).toContain("\n\\&'Quoted' words. .TH is no request.\n");
    expect(page).toContain("\\fBa \\-\\-long\\-option\\fR,");
    expect(page).toContain("oci\\-archive:FILE");
    expect(page).toContain("C:\\epath");
    expect(page).toContain("\\&.so");
  });
});
