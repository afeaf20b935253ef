import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "../../../src/errors.ts";
import { type Directory, directory, leaf } from "../../../src/tree/model.ts";
import { compileSearch, Effort } from "../../../src/tree/selinux/backtrack.ts";
import type { TypeLetter } from "../../../src/tree/selinux/file-contexts.ts";
import { readPerlPattern } from "../../../src/tree/selinux/perl-syntax.ts";
import { FileLabels, readPolicy } from "../../../src/tree/selinux/policy.ts";
import { defaultRootStat } from "../../../src/tree/transform.ts";
import { PROJECT } from "../../support/project.ts";

interface Case {
  /** Path (`\xHH` escaped) and type of a file, and the label that composefs-rs 0.9.4 gives it. */
  readonly labels?: readonly (readonly [string, string, string | null])[];
  readonly error?: string;
  readonly policy: Readonly<Record<string, string>>;
}

const CASES: Readonly<Record<string, Case>> = JSON.parse(
  readFileSync(join(PROJECT, "fixtures/boot/labels.json"), "utf8"),
);

/** A tree with these files, and with `/etc/selinux` only if one is in it. */
function treeOf(files: Readonly<Record<string, string>>): Directory {
  const root = directory(defaultRootStat());
  for (const [path, data] of Object.entries(files)) {
    let at = root;
    const names = path.split("/");
    const last = names.pop()!;
    for (const name of names) {
      const next = at.entries.get(name) ?? directory(defaultRootStat());
      at.entries.set(name, next);
      at = next as Directory;
    }
    at.entries.set(last, leaf(defaultRootStat(), { type: "inline", data }));
  }
  return root;
}

function policyOf(files: Readonly<Record<string, string>>): FileLabels | undefined {
  return readPolicy(treeOf(files), () => {
    throw new Error("all files are inline");
  });
}

function labelAt(policy: FileLabels | undefined, path: string, type: TypeLetter): string | null {
  if (policy === undefined) return null;
  let at = policy.root();
  for (const name of path.split("/").filter((n) => n !== "")) at = policy.below(at, name);
  return policy.labelOf(at, type) ?? null;
}

/** Undoes the escapes of a dumpfile. */
function plainPath(path: string): string {
  return path.replace(/\\x([0-9a-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
}

describe("labels that composefs-rs gives", () => {
  for (const [name, { labels, error, policy }] of Object.entries(CASES)) {
    if (labels === undefined) {
      test(`${name}: an error`, () => {
        let found = "";
        try {
          policyOf(policy);
        } catch (caught) {
          found = describeError(caught);
        }
        const reason = error!
          .trim()
          .split("\n")
          .at(-1)!
          .replace(/^ *\d+: /, "");
        const why = reason.replace(/^(\d+: )?/, "").replace(/^PCRE2: .*: /, "");
        expect(found).toContain(why);
      });
      continue;
    }
    test(name, () => {
      const read = policyOf(policy);
      const files = labels.filter(([, type]) => type.length === 1);
      const found = files.map(([path, type]) => [
        path,
        type,
        labelAt(read, plainPath(path), type as TypeLetter),
      ]);
      expect(found).toEqual(files.map((file) => [...file]));
    });
  }
});

/** expression, paths that it matches, paths that it does not; as composefs-rs 0.9.4 does. */
const EXPRESSIONS: readonly (readonly [string, string[], string[]])[] = [
  ["/z/a++a", ["/z/aa", "/z/aaa"], ["/z/a"]],
  ["/z/a**b", ["/z/aab", "/z/b"], ["/z/a"]],
  ["/z/a{,2}b", ["/z/aab", "/z/b"], ["/z/a{,2}b", "/z/aaab"]],
  ["/z/a{b", ["/z/a{b"], ["/z/ab"]],
  ["/z/a{2}{3}", ["/z/aaaaaa"], ["/z/aaaaa"]],
  ["/z/[a[b]]", ["/z/a", "/z/b"], ["/z/a]", "/z/[]"]],
  ["/z/a.b", ["/z/a\nb", "/z/axb"], ["/z/ab"]],
  ["/z/a.b(?!q)", ["/z/axb"], ["/z/a\nb"]],
  ["/z/é+", ["/z/\xc3\xa9\xc3\xa9"], ["/z/\xc3\xa9\xa9", "/z/"]],
  ["/z/[é]", ["/z/\xc3", "/z/\xa9"], ["/z/\xc3\xa9"]],
  ["/z/\\<a", ["/z/a"], ["/z/<a"]],
  ["/z/\\%a", ["/z/%a"], ["/z/a"]],
  ["/z/a)|(b", ["/z/a", "/z/ab"], ["/z/b", "/z/c"]],
  ["/z/foo\\b", ["/z/foo"], ["/z/foob"]],
  ["/z/foo$", [], ["/z/foo"]],
  ["/z/(?i)FOO", ["/z/foo", "/z/FoO"], ["/z/fo"]],
  ["/z/[a&&b]", [], ["/z/a", "/z/&"]],
  ["/z/[a-c--b]", ["/z/a", "/z/c"], ["/z/b", "/z/-"]],
  ["/z/[a~~b]", ["/z/a", "/z/b"], ["/z/~"]],
  ["/z/(?P<x>a)", ["/z/a"], ["/z/b"]],
  ["/z/\\x41\\x{42}\\u0043", ["/z/ABC"], ["/z/AB"]],
  ["/z/]a}", ["/z/]a}"], ["/z/a}"]],
  ["/z/\\pL", ["/z/a", "/z/\xe9"], ["/z/1", "/z/ab"]],
  ["/z/(a*)*b", ["/z/aaab"], [`/z/${"a".repeat(2000)}`]],
  ["/z/a|", ["/z/a"], ["/z/b"]],
  ["/z/()a", ["/z/a"], ["/z/"]],
  ["/z/\\Qa.b\\E", ["/z/a.b"], ["/z/axb"]],
  ["/z/[[:foo:]]", ["/z/f", "/z/:"], ["/z/:]"]],
  ["/z/[[:alpha:]_]+", ["/z/a_b"], ["/z/a1"]],
  ["/z/[\\]a]", ["/z/]", "/z/a"], ["/z/b"]],
  ["/z/[^]a]", ["/z/b", "/z/\n"], ["/z/]", "/z/a"]],
  ["/z/[a-]", ["/z/-", "/z/a"], ["/z/b"]],
  ["/z/\\u0041", ["/z/A"], ["/z/u0041"]],
  ["/z/(?#c)a", ["/z/a"], ["/z/c"]],
  ["/z/(a|b)\\2", ["/z/aa", "/z/bb"], ["/z/ab"]],
  // The whole expression is group 1.
  ["/z/(a|b)\\1", [], ["/z/aa"]],
  ["/z/(?<!q)a(?=b)b", ["/z/ab"], ["/z/a", "/z/qab"]],
  ["/z/(?>a+)b(?!c)", ["/z/aab"], ["/z/b"]],
  ["/z/(?>a*)a(?!c)", [], ["/z/aaa"]],
  ["/z/a*+a(?!c)", [], ["/z/aaa"]],
  ["/z/\\h(?!c)", ["/z/ ", "/z/\t"], ["/z/a"]],
  ["/z/a(?m:$)\\n(?m:^)b(?!c)", ["/z/a\nb"], ["/z/ab"]],
  ["/z/(?<n>.)\\k<n>", ["/z/xx"], ["/z/xy"]],
];

describe("regular expressions", () => {
  for (const [expression, matching, others] of EXPRESSIONS) {
    test(expression, () => {
      const policy = policyOf({
        "etc/selinux/config": "SELINUXTYPE=t",
        "etc/selinux/t/contexts/files/file_contexts": Buffer.from(`${expression} yes`).toString("latin1"),
      });
      const paths = [...matching, ...others];
      expect(paths.filter((path) => labelAt(policy, path, "-") !== null)).toEqual(matching);
    });
  }

  const refused = [
    "/z/[\\d-z]",
    "/z/a{2,1}",
    "/z/[z-a]",
    "*b",
    "/z/(a",
    "/z/a\\",
    "/z/[a",
    "/z/(?(1)a)",
    "/z/(?R)",
    "/z/(?<n>a)(?<n>b)",
  ];
  test.each(refused)("%s is refused", (expression) => {
    const contexts = { "etc/selinux/t/contexts/files/file_contexts": `${expression} yes` };
    expect(() => policyOf({ "etc/selinux/config": "SELINUXTYPE=t", ...contexts })).toThrow();
  });

  test("one that takes exponential time is given up", () => {
    const policy = policyOf({
      "etc/selinux/config": "SELINUXTYPE=t",
      "etc/selinux/t/contexts/files/file_contexts": "/z/(a|a)*b(?!c) yes",
    });
    expect(() => labelAt(policy, `/z/${"a".repeat(200)}`, "-")).toThrow(/takes too long/);
  });

  test("an expression that repeats itself without end is refused", () => {
    const contexts = { "etc/selinux/t/contexts/files/file_contexts": "/z/(a{1000}){1000}{1000} yes" };
    expect(() => policyOf({ "etc/selinux/config": "SELINUXTYPE=t", ...contexts })).toThrow();
  });

  test("repeating nothing is nothing", () => {
    const contexts = {
      "etc/selinux/t/contexts/files/file_contexts": "/z/((((){1000}){1000}){1000}){1000}a yes",
    };
    const policy = policyOf({ "etc/selinux/config": "SELINUXTYPE=t", ...contexts });
    expect(labelAt(policy, "/z/a", "-")).toBe("yes");
  });

  test("all paths and expressions together have a limit", () => {
    const effort = new Effort();
    const search = compileSearch(readPerlPattern("^((a|aa)*\\1b)$"), true, effort);
    const subject = "a".repeat(20);
    const searches = () => {
      for (let i = 0; i < 20_000; i++) search(subject);
    };
    effort.spend(49_000_000);
    expect(searches).toThrow(/takes too long/);
  });

  test("memory is bounded, whatever is matched", () => {
    // in a process of its own: this one has the memory of all the other tests
    const program = `
      import { FileLabels } from "${join(PROJECT, "src/tree/selinux/policy.ts")}";
      const rules = Array.from({ length: 1000 }, (_, i) => (
        { expression: ".*a.{" + (i % 20) + "}z", type: undefined, label: "yes" }));
      const policy = new FileLabels(rules);
      const root = policy.root();
      for (let i = 0; i < 100; i++) {
        const name = Array.from({ length: 20 }, (_, j) => (((i * 2654435761) >>> j) & 1 ? "a" : "x")).join("");
        if (policy.labelOf(policy.below(root, name + "az"), "-") !== "yes") throw new Error(name);
      }
      const status = await Bun.file("/proc/self/status").text();
      console.log(/VmHWM:\\s+([0-9]+) kB/.exec(status)[1]);`;
    const child = Bun.spawnSync([process.execPath, "-e", program], { stderr: "inherit" });
    expect(child.exitCode).toBe(0);
    expect(Number(child.stdout.toString())).toBeWithin(1, 500 * 1024);
  });

  test("more alternatives at once than there are in policies of good will are refused", () => {
    const rules = Array.from({ length: 70_000 }, (_, i) => ({
      expression: `.*${i}`,
      type: undefined,
      label: "x",
    }));
    expect(() => new FileLabels(rules).root()).toThrow(/too much in common/);
  });
});
