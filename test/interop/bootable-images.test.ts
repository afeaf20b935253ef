import { expect, test } from "bun:test";
import { CFSCTL } from "../support/cfsctl.ts";
import { Choices } from "../support/choices.ts";
import { type ImageSpec, writeLayout } from "../support/oci-layout.ts";
import { findReference } from "../support/reference.ts";
import { repositoryContent } from "../support/repository-content.ts";
import { directory, file, noise, type TarItem, writeTar } from "../support/tar-writer.ts";
import { tempDirInMemory } from "../support/temp.ts";

const SEED = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const IMAGES = Number(process.env.TEST_IMAGES ?? 12);

const NAMES = [
  "a",
  "b",
  "ab",
  "aab",
  "ba",
  "c",
  "A",
  "aB",
  "a.b",
  "a-b",
  "a_1",
  "1",
  "\xc3\xa9",
  "\xff",
  "a\nb",
  "[a]",
  " ",
];

/** Parts of regular expressions: what both syntaxes know, what only one does, and what means something else in each. */
const USUAL = [
  "a",
  "b",
  "ab",
  "/",
  "[^/]*",
  ".*",
  ".",
  "(/.*)?",
  "(a|b)",
  "[ab]+",
  "a?",
  "\\.",
  "(aa?b|c)",
  "[a-c]{1,2}",
];
const UNUSUAL = [
  "a++", "a*?b", "a{2}", "a{,2}", "a{1,}", "(?i)a", "(?:a|)", "(?P<n>a)", "\\x61", "\\x{e9}", "\\u00e9", "[[:alpha:]]+", "[[:^digit:]]",
  "[[:upper:]b]", "[^a]", "[]a]", "[a-]", "[a&&ab]", "[a-c--b]", "[ab~~bc]", "[a[bc]]", "\\w+", "\\W", "\\d", "\\s", "\\b", "\\B", "\\<",
  "$", "^", "(?s:.)", "(?-s:.)", "()", "é", "é+", "\\-", "\\%", "(?i:[a])", "(?m:$)", "(a*)*",
]; // biome-ignore format: a table
const PERL = [
  "(?=a)", "(?!b)", "(?<=a)", "(?<!b)", "(?>a*)", "a*+", "[é]", "\\h", "\\N", "\\Qa.b\\E", "(?#x)", "\\pL", "\\p{Lu}", "\\P{L}", "\\o{141}",
  "\\141", "a{b", "\\Z", "(a)\\g{-1}", "(?<q>a)\\k<q>", "\\R", "\\H+", "\\v",
]; // biome-ignore format: a table
const TYPES = ["", "", "", " --", " -d", " -l", " -p", " -c"];

function randomExpression(choices: Choices): string {
  const parts: string[] = ["/"];
  const kinds = choices.chance(0.7)
    ? [USUAL]
    : choices.chance(0.6)
      ? [USUAL, UNUSUAL]
      : [USUAL, UNUSUAL, PERL];
  for (let left = choices.below(5); left > 0; left--) parts.push(choices.of(choices.of(kinds)));
  return parts.join("");
}

function randomPolicy(choices: Choices): TarItem[] {
  const rules = (count: number) =>
    Array.from({ length: count }, () => {
      const label = choices.chance(0.1) ? "<<none>>" : `u:r:t${choices.below(6)}:s0`;
      return `${randomExpression(choices)}${choices.of(TYPES)} ${label}\n`;
    }).join("");
  const top = "etc/selinux/targeted/contexts/files/";
  const parents = top
    .split("/")
    .slice(0, -1)
    .map((_, i, names) => directory(`${names.slice(0, i + 1).join("/")}/`));
  const items = [...parents, file("etc/selinux/config", "# x\nSELINUXTYPE=targeted\n")];
  items.push(file(`${top}file_contexts`, rules(1 + choices.below(12))));
  if (choices.chance(0.3)) items.push(file(`${top}file_contexts.local`, rules(2)));
  if (choices.chance(0.3)) items.push(file(`${top}file_contexts.homedirs`, rules(2)));
  for (const name of ["subs", "subs_dist"]) {
    if (!choices.chance(0.3)) continue;
    const path = () => `/${choices.of(["a", "b", "a/b", "usr", "usr/a"])}`;
    items.push(file(`${top}file_contexts.${name}`, `${path()} ${path()}\n# x\n${path()} ${path()}\n`));
  }
  return items;
}

function randomImage(index: number, choices: Choices): ImageSpec {
  const items: TarItem[] = [
    directory("usr/", { mtime: 1_600_000_000 }),
    directory("boot/"),
    directory("sysroot/"),
  ];
  if (choices.chance(0.9)) items.push(...randomPolicy(choices));
  const directories = ["", "usr/", "boot/", "sysroot/"];
  const files: string[] = [];
  for (let left = 10 + choices.below(60); left > 0; left--) {
    const path = choices.of(directories) + choices.of(NAMES);
    if (files.includes(path) || directories.includes(`${path}/`)) continue;
    const xattrs: Record<string, string> = choices.chance(0.2)
      ? { "security.selinux": "old\0", "user.a": "1" }
      : {};
    const kind = choices.below(10);
    if (kind < 3) {
      items.push(directory(`${path}/`, { xattrs }));
      directories.push(`${path}/`);
      continue;
    }
    if (kind < 5 && files.length > 0) items.push({ path, type: "hardlink", target: choices.of(files) });
    else if (kind < 6) items.push({ path, type: "symlink", target: "a" });
    else if (kind < 7) items.push({ path, type: choices.of(["fifo", "char"] as const), device: [1, 3] });
    else
      items.push(file(path, noise(choices.of([0, 64, 65, 5000]), index * 10 + choices.below(5)), { xattrs }));
    files.push(path);
  }
  return { tag: `t${index}`, layers: [{ tar: writeTar(items), packing: "plain" }] };
}

const reference = findReference();
if (reference === undefined) console.log("skipped: needs the reference (test/interop/install-reference)");

test.skipIf(reference === undefined).each(["sha256", "sha512"] as const)(
  "%s: bootable images are the reference's",
  (hash) => {
    console.log(`TEST_SEED=${SEED}`);
    using scratch = tempDirInMemory(300e6);
    const choices = new Choices(SEED);
    const images = Array.from({ length: IMAGES }, (_, i) => randomImage(i, choices));
    writeLayout(scratch.join("layout"), images);
    const run = (program: string, repository: string, ...args: string[]) => {
      const result = Bun.spawnSync([program, "--repo", scratch.join(repository), ...args], {
        env: { ...process.env, RUST_BACKTRACE: "0" },
        stderr: "pipe",
      });
      const stdout = result.stdout.toString("latin1").replace(/^verity .*$/m, "");
      return { code: result.exitCode, stdout, stderr: result.stderr.toString() };
    };
    const programs = [
      [CFSCTL, "ours"],
      [reference!, "theirs"],
    ] as const;
    for (const [program, repository] of programs)
      run(program, repository, "init", "--insecure", "--algorithm", `fsverity-${hash}-12`);
    const compare = (...args: string[]) => {
      const [ours, theirs] = programs.map(([program, repository]) => run(program, repository, ...args));
      const about = `${args.join(" ")}: ${ours!.stderr} / ${theirs!.stderr}`;
      const { code, stdout } = theirs!;
      expect({ about, code: ours!.code, stdout: ours!.stdout }).toEqual({ about, code, stdout });
      return theirs!;
    };
    const expectIntact = () => {
      for (const [, repository] of programs) {
        for (const checker of [CFSCTL, reference!])
          expect(run(checker, repository, "oci", "fsck").code).toBe(0);
      }
    };
    const pullOf = (tag: string) => [
      "oci",
      "pull",
      `oci:${scratch.join("layout")}:${tag}`,
      tag,
      "--bootable",
    ];
    const bootable: { tag: string; id: string }[] = [];
    for (const { tag } of images) {
      if (compare(...pullOf(tag)).code !== 0) continue;
      compare("oci", "dump", "--bootable", "--xattrs", "keep-user-xattrs", tag);
      for (const version of ["0", "1", "2"])
        compare("--erofs-version", version, "oci", "compute-id", "--bootable", tag);
      const compute = ["oci", "compute-id", "--bootable", "--xattrs", "keep-user-xattrs", tag];
      bootable.push({ tag, id: compare("--erofs-version", "2", ...compute).stdout.trim() });
    }
    expect(bootable.length).toBeGreaterThan(IMAGES / 2);
    expectIntact();
    for (const [program, repository] of programs) run(program, repository, "gc");
    expect(repositoryContent(scratch.join("ours"), hash)).toEqual(
      repositoryContent(scratch.join("theirs"), hash),
    );

    // The reference links several bootable images in random order: repositories are not the same any more.
    for (const { tag, id } of bootable) compare(...pullOf(tag), "--expected-digest", id);
    expectIntact();
  },
  600_000,
);
