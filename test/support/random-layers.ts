import type { Choices } from "./choices.ts";
import type { Packing } from "./oci-layout.ts";
import { directory, file, noise, type TarItem, writeTar } from "./tar-writer.ts";

const NAMES = ["a", "b", "c", "usr", "run", "x".repeat(120), "\xc3\xa9", "\xff", "with space", ".wh", "~"];
const SIZES = [0, 1, 63, 64, 65, 100, 511, 512, 513, 4095, 4096, 4097, 9000];
/** All there are. */
export const PACKINGS: readonly Packing[] = [
  "plain",
  "gzip",
  "zstd",
  "gzip-members",
  "zstd-frames",
  "zstd-skippable",
];
const XATTRS: Record<string, string>[] = [
  { "security.capability": "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0" },
  { "user.a": "1", "user.b": "" },
  { "trusted.overlay.opaque": "y", "security.selinux": "label\0" },
  { "security.capability": "", "user.overlay.whiteout": "y" },
];

/** Entries that have their parents, hard links with their targets; a few have not, to be refused. */
function randomItems(
  choices: Choices,
  seed: number,
  directories: Set<string>,
  leaves: Set<string>,
): TarItem[] {
  const items: TarItem[] = [];
  const forget = (path: string) => {
    for (const known of [directories, leaves]) {
      for (const name of known) if (name === path || name.startsWith(`${path}/`)) known.delete(name);
    }
  };
  for (let left = 1 + choices.below(25); left > 0; left--) {
    const parent = choices.chance(0.998) ? choices.of([...directories]) : choices.of(NAMES);
    const below = (name: string) => (parent === "" ? name : `${parent}/${name}`);
    const path = below(choices.of(NAMES));
    const metadata = {
      mode: choices.below(0o10000),
      uid: choices.below(2_000_000),
      gid: choices.below(100_000),
      mtime: choices.of([0, 1, 1_700_000_000, 2 ** 31, 2 ** 33 - 1]),
      ...(choices.chance(0.2) && { fraction: choices.of(["5", "123456789", "000000001", "9999999999"]) }),
      ...(choices.chance(0.2) && { xattrs: choices.of(XATTRS) }),
    };
    const kind = choices.below(100);
    if (kind < 25 || path === "usr" || path === "run") {
      items.push(directory(`${choices.of(["", "./", "/"])}${path}${choices.of(["", "/"])}`, metadata));
      leaves.delete(path);
      directories.add(path);
    } else if (kind < 38) {
      const name = choices.of(NAMES);
      if (name === "usr" && parent === "") continue;
      items.push(file(below(choices.chance(0.2) ? ".wh..wh..opq" : `.wh.${name}`), "", metadata));
      if (items.at(-1)!.path.endsWith(".opq")) {
        for (const known of [...directories, ...leaves]) {
          if (parent === "" || known.startsWith(`${parent}/`)) forget(known);
        }
        directories.add("");
        if (parent === "") {
          items.push(directory("usr"));
          directories.add("usr");
        }
      } else forget(below(name));
    } else if (kind < 50 && leaves.size > 0) {
      const target = choices.of(["", "/", "./"]) + choices.of([...leaves]);
      if (target.endsWith(path)) continue;
      items.push({ path, type: "hardlink", target, ...metadata });
      forget(path);
      leaves.add(path);
    } else {
      if (kind < 80) items.push(file(path, noise(choices.of(SIZES), seed + choices.below(10)), metadata));
      else if (kind < 90) {
        const target = choices.of(["a", "../usr", "/etc/passwd", "t".repeat(300), ".", "x".repeat(4095)]);
        items.push({ path, type: "symlink", target, ...metadata });
      } else {
        const type = choices.of(["fifo", "char", "block"] as const);
        const device = choices.of([[0, 0] as const, [1, 3] as const, [4095, 1_048_575] as const]);
        items.push({ path, type, device, ...metadata });
      }
      forget(path);
      leaves.add(path);
    }
  }
  return items;
}

/** The entries of each layer of an image; those of the first begin with `usr/`. */
export function randomLayers(index: number, choices: Choices): TarItem[][] {
  const directories = new Set(["", "usr"]);
  const leaves = new Set<string>();
  const layers: TarItem[][] = [];
  for (let left = 1 + choices.below(4); left > 0; left--) {
    const items = randomItems(choices, index * 10, directories, leaves);
    layers.push(layers.length === 0 ? [directory("usr/"), ...items] : items);
  }
  return layers;
}

/** The tar of a layer. */
export function randomTar(items: readonly TarItem[], choices: Choices): Uint8Array {
  // a second archive behind the first is kept, but not looked at
  const more = choices.chance(0.1) ? writeTar([file("behind", "text")]) : new Uint8Array(0);
  return Buffer.concat([writeTar(items), more]);
}
