import { describe, expect, test } from "bun:test";
import { parseDumpfile } from "../../src/tree/dumpfile.ts";
import {
  countLinks,
  directoryLinks,
  externalObjects,
  findNode,
  lookup,
  lookupDirectory,
} from "../../src/tree/walk.ts";
import { SHA256 } from "../../src/verity/digest.ts";

const [A, B] = ["a".repeat(64), "b".repeat(64)];
const root = parseDumpfile(
  Buffer.from(
    "/ 0 40755 3 0 0 0 1.0 - - -\n" +
      "/usr 0 40755 3 0 0 0 1.0 - - -\n" +
      "/usr/bin 0 40755 2 0 0 0 1.0 - - -\n" +
      `/usr/bin/big 9 100644 2 0 0 0 1.0 bb/${B.slice(2)} - ${B}\n` +
      "/usr/hl 0 @100644 - - - - 0.0 /usr/bin/big\n" +
      `/x 9 100644 1 0 0 0 1.0 aa/${A.slice(2)} - ${A}\n` +
      `/y 9 100644 1 0 0 0 1.0 cc/${"c".repeat(62)} - -\n`,
  ),
  SHA256,
);

describe("look-up by path", () => {
  test.each(["usr/bin/big", "/usr/bin/big", "//usr///bin/big/", "usr/./bin/big"])("%s", (path) => {
    expect(lookup(root, path)).toBe(lookup(root, "usr/hl"));
  });

  test.each([
    ["/", 'Invalid filename "/"'],
    ["", 'Invalid filename ""'],
    ["usr/..", 'Invalid filename "usr/.."'],
    ["usr/../x", 'Invalid filename "usr/.."'],
    ["/nope", 'Directory entry "nope" does not exist'],
    ["nope/x", 'Directory entry "nope" does not exist'],
    ["/usr/bin/big/x", 'Directory entry "big" is not a subdirectory'],
  ])("%j fails", (path, message) => {
    expect(() => lookup(root, path)).toThrow(message);
  });

  test("an entry that is missing where it could be", () => {
    expect(findNode(root, "/usr/nope")).toBeUndefined();
    expect(() => findNode(root, "/nope/nope")).toThrow('Directory entry "nope" does not exist');
  });

  test("directories", () => {
    expect(lookupDirectory(root, "/")).toBe(root);
    expect(lookupDirectory(root, "usr/bin").entries.size).toBe(1);
    expect(() => lookupDirectory(root, "usr/../x")).toThrow('Invalid filename "usr/../x"');
  });
});

test("link counts", () => {
  const links = countLinks(root);
  const nlink = (path: string) => {
    const node = lookup(root, path);
    return node.kind === "leaf" ? (links.get(node) ?? 1) : directoryLinks(node);
  };
  expect(["usr", "usr/bin", "usr/hl", "x"].map(nlink)).toEqual([3, 2, 2, 1]);
});

test("objects of files with enforced digests", () => {
  expect(externalObjects(root)).toEqual([A, B] as never);
});
