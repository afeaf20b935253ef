import { describe, expect, test } from "bun:test";
import { applyBootTransform } from "../../src/tree/boot-transform.ts";
import { dumpTree } from "../../src/tree/dump.ts";
import { parseDumpfile } from "../../src/tree/dumpfile.ts";
import type { Directory, Leaf } from "../../src/tree/model.ts";
import { SHA256 } from "../../src/verity/digest.ts";

const CONTEXTS =
  "/usr/a -- A\\n/usr/[bc] B\\n/usr/d D\\n/usr/none <<none>>\\n/boot(/.*)? BOOT\\n/(usr)? -d U\\n";

/** A tree with a policy in which `usr` holds the given lines. */
function tree(lines: string, contexts = CONTEXTS): Directory {
  const size = contexts.replaceAll("\\n", "\n").length;
  return parseDumpfile(
    new TextEncoder().encode(`/ 0 40755 5 0 0 0 1.0 - - -
/boot 0 40700 2 5 6 0 2.5 - - - security.selinux=old
/boot/vmlinuz 4 100644 1 0 0 0 1.0 - kern -
/etc 0 40755 2 0 0 0 1.0 - - -
/etc/selinux 0 40755 2 0 0 0 1.0 - - -
/etc/selinux/config 13 100644 1 0 0 0 1.0 - SELINUXTYPE=t -
/etc/selinux/t 0 40755 2 0 0 0 1.0 - - -
/etc/selinux/t/contexts 0 40755 2 0 0 0 1.0 - - -
/etc/selinux/t/contexts/files 0 40755 2 0 0 0 1.0 - - -
/etc/selinux/t/contexts/files/file_contexts ${size} 100644 1 0 0 0 1.0 - ${contexts.replaceAll(" ", "\\x20")} -
/sysroot 0 40755 2 0 0 0 3.0 - - -
/sysroot/x 0 40755 2 0 0 0 1.0 - - -
/usr 0 40755 2 0 0 0 7.9 - - -
${lines}`),
    SHA256,
  );
}

const noFile = () => {
  throw new Error("all files are inline");
};

function labels(root: Directory, name: string): (string | undefined)[] {
  const usr = root.entries.get("usr") as Directory;
  return [...name].map((n) => (usr.entries.get(n) as Leaf).stat.xattrs.get("security.selinux"));
}

describe("the boot transform", () => {
  test("empties /boot and /sysroot and gives them the time of /usr", () => {
    const root = tree("");
    applyBootTransform(root, noFile);
    const lines = [...dumpTree(root)].join("").split("\n");
    expect(lines.filter((line) => /^\/(boot|sysroot)/.test(line))).toEqual([
      "/boot 0 40700 2 5 6 0 7.9 - - - security.selinux=BOOT",
      "/sysroot 0 40755 2 0 0 0 7.9 - - -",
    ]);
  });

  test("hard links with different labels become different files", () => {
    const link = (name: string) => `/usr/${name} 0 @120000 - - - - 0.0 /usr/a - -\n`;
    const root = tree(`/usr/a 1 100644 5 0 0 0 1.0 - x -\n${["b", "c", "d", "e"].map(link).join("")}`);
    applyBootTransform(root, noFile);
    expect(labels(root, "abcde")).toEqual(["A", "B", "B", "D", undefined]);
    const usr = root.entries.get("usr") as Directory;
    expect(new Set(usr.entries.values()).size).toBe(5);
  });

  test("labels from before are removed where the policy has none", () => {
    const root = tree("/usr/none 1 100644 1 0 0 0 1.0 - x - security.selinux=old user.a=1\n");
    applyBootTransform(root, noFile);
    const file = (root.entries.get("usr") as Directory).entries.get("none")!;
    expect([...file.stat.xattrs]).toEqual([["user.a", "1"]]);
  });

  test("a tree without policy has no labels", () => {
    const root = tree("");
    root.entries.delete("etc");
    applyBootTransform(root, noFile);
    expect([...dumpTree(root)].join("")).not.toContain("selinux");
  });

  test.each(["boot", "sysroot"])("a tree without /%s is refused", (name) => {
    const root = tree("");
    root.entries.delete(name);
    expect(() => applyBootTransform(root, noFile)).toThrow("making the tree bootable");
  });

  test("policy files above 64 bytes are read", () => {
    const root = tree("/usr/a 1 100644 1 0 0 0 1.0 - x -\n");
    const files = ["etc", "selinux", "t", "contexts", "files"].reduce(
      (at, name) => at.entries.get(name) as Directory,
      root,
    );
    const contexts = files.entries.get("file_contexts") as Leaf;
    contexts.content = { type: "external", id: "ab" as never, size: 100n };
    const asked: string[] = [];
    applyBootTransform(root, (file, path) => {
      expect(file).toBe(contexts);
      asked.push(path);
      return "/usr/a NEW\n";
    });
    expect(asked).toEqual(["/etc/selinux/t/contexts/files/file_contexts"]);
    expect(labels(root, "a")).toEqual(["NEW"]);
  });
});
