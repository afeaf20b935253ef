import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { escapeText, html, raw } from "../../src/cli/report/html.ts";
import { fit } from "../../src/cli/report/picture.ts";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { HOSTILE, sharedImagesRepository } from "../support/shared-images.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

let dir: TempDir;
let repo: string[];
beforeAll(() => {
  dir = tempDir();
  repo = sharedImagesRepository(dir);
}, 60_000);
afterAll(() => dir[Symbol.dispose]());

describe("stats", () => {
  test("of images that share a base", () => {
    const stats = JSON.parse(cfsctlOk([...repo, "stats", "--json"]));
    expect(stats.roots.map(({ names, kind }: { names: string[]; kind: string }) => [kind, ...names])).toEqual(
      [
        ["container", "web/shop:1.0"],
        ["container", "web/shop:1.1"],
        ["container", "tools/backup:latest"],
        ["container", "localhost:5000/deep/path/with/a/very/long/name/of/an/image:2025-04"],
        ["container", HOSTILE.tag],
        ["container", "web/shop:2.0"],
        ["image", HOSTILE.image],
      ],
    );
    const [first, second, , , hostile, , image] = stats.roots;
    expect(first.created).toBe("2025-01-10T12:00:00.000Z");
    expect(first.added).toEqual(first.needs);
    // The second release has a file, a layer, a config, a manifest and an image of its own.
    expect(second.own).toEqual(second.added);
    expect(second.own.count).toBeGreaterThanOrEqual(5);
    expect(hostile.own).toEqual(hostile.needs);
    expect(image.needs.count).toBe(3);
    const pair = stats.sharing.pairs.find(({ roots: [a, b] }: { roots: number[] }) => a === 0 && b === 1);
    expect(pair.bytes).toBe(second.needs.bytes - second.added.bytes);
    // The only file that the EROFS image has in common with the containers.
    const withImage = stats.sharing.pairs.filter(({ roots }: { roots: number[] }) => roots[1] === 6);
    expect(withImage.map(({ bytes }: { bytes: number }) => bytes)).toEqual(Array(5).fill(180_000));
    const dry = JSON.parse(cfsctlOk([...repo, "gc", "--dry-run", "--json"]));
    expect(stats.objects.unused.count).toBe(dry.objects_removed ?? dry.objectsRemoved);
    const text = cfsctlOk([...repo, "stats"]);
    expect(text).toContain(`objects     ${stats.objects.count}, `);
    expect(text).toContain("web/shop:1.1");
    expect(text).toMatch(/sharing {5}saves [0-9.]+ MiB of [0-9.]+ MiB/);
  });

  test("of an empty repository", () => {
    using dir = tempDir();
    const repo = ["--repo", dir.join("repo")];
    cfsctlOk([...repo, "init", "--insecure"]);
    const stats = JSON.parse(cfsctlOk([...repo, "stats", "--json"]));
    expect(stats.objects.count).toBe(0);
    expect(stats.roots).toEqual([]);
    expect(cfsctlOk([...repo, "stats"])).not.toContain("NAME");
    expect(cfsctlOk([...repo, "report", "--html", "-"])).toContain("Nothing in this repository has a name.");
  });

  test("of ostree commits", () => {
    using dir = tempDir();
    const repo = ["--repo", dir.join("repo")];
    cfsctlOk([...repo, "init", "--insecure"]);
    mkdirSync(dir.join("tree/usr"), { recursive: true });
    for (const [i, time] of ["2024-02-03T04:05:06Z", "2023-01-01T00:00:00Z"].entries()) {
      writeFileSync(dir.join("tree/usr/file"), `version ${i} `.repeat(1000));
      const options = ["--dir", "--reference", `os/${i}`, "--timestamp", time, "--parent", "none"];
      cfsctlOk([...repo, "ostree", "commit", dir.join("tree"), ...options]);
    }
    const { roots } = JSON.parse(cfsctlOk([...repo, "stats", "--json"]));
    const shown = roots.map(({ names, kind, created }: Record<string, unknown>) => ({
      names,
      kind,
      created,
    }));
    expect(shown).toEqual([
      { names: ["os/1"], kind: "commit", created: "2023-01-01T00:00:00.000Z" },
      { names: ["os/0"], kind: "commit", created: "2024-02-03T04:05:06.000Z" },
    ]);
    expect(cfsctlOk([...repo, "report", "--html", "-"])).toContain("/usr/file<small>os/0</small>");
  });

  test("says what can't be read, and goes on", () => {
    using dir = tempDir();
    const repo = ["--repo", dir.join("repo")];
    cfsctlOk([...repo, "init", "--insecure"]);
    mkdirSync(dir.join("repo/images/refs"), { recursive: true });
    symlinkSync(`../${"0".repeat(128)}`, dir.join("repo/images/refs/dangling"));
    const { code, stderr } = cfsctl([...repo, "stats"]);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: "cfsctl: warning: images/refs/dangling leads to no object\n",
    });
    expect(cfsctlOk([...repo, "report", "--html", "-"])).toContain(
      "<li>images/refs/dangling leads to no object",
    );
  });
});

describe("report", () => {
  test("is the same for the same repository, and replaces a file in one step", () => {
    const env = { SOURCE_DATE_EPOCH: "1700000000" };
    const page = cfsctlOk([...repo, "report", "--html", "-"], { env });
    expect(page).toContain("2023-11-14 22:13 UTC");
    mkdirSync(dir.join("out"));
    writeFileSync(dir.join("out/page.html"), "old");
    expect(cfsctlOk([...repo, "report", "--html", dir.join("out/page.html")], { env })).toBe("");
    expect(readdirSync(dir.join("out"))).toEqual(["page.html"]);
    expect(cfsctlOk([...repo, "report", "--html", "-"], { env })).toBe(page);
    expect(cfsctl([...repo, "report", "--html", dir.join("missing/page.html")]).code).toBe(1);
    expect(cfsctl([...repo, "report"]).code).toBe(2);
  });

  test("nothing that comes from images gets into the page unescaped", () => {
    const page = cfsctlOk([...repo, "report", "--html", "-"]);
    for (const name of Object.values(HOSTILE)) {
      expect(page).not.toContain(name);
      expect(page).toContain(escapeText(name));
    }
    for (const forbidden of [/<script/i, /<img/i, /\son[a-z]+=/i, /https?:\/\//, /url\(/, /@import/])
      expect(page.replaceAll(/&lt;[^<]*/g, "")).not.toMatch(forbidden);
  });
});

test("whatever a text holds, it stays a text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const escaped = escapeText(text);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not be there
      expect(escaped).not.toMatch(/[<>"'\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/);
      expect(escaped).not.toMatch(/&(?!(amp|lt|gt|quot|#39);)/);
      expect(html`<p title="${text}">${[text, raw("<br>")]}</p>`.text).toBe(
        `<p title="${escaped}">${escaped}<br></p>`,
      );
    }),
  );
});

test("a name is cut to the room that there is", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 40, max: 400 }), (text, room) => {
      const shown = fit(text, room);
      expect(Bun.stringWidth(shown)).toBeLessThanOrEqual(Math.max(Math.floor(room / 7.25), 3));
      if (Bun.stringWidth(text) <= room / 7.25) expect(shown).toBe(text);
    }),
  );
});
