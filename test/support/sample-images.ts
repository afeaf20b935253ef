import { fromText } from "../../src/bytes.ts";
import { type WrittenImage, writeLayout } from "./oci-layout.ts";
import { directory, file, noise, type TarItem, writeTar } from "./tar-writer.ts";

/** Linux capability attribute, revision 2: cap_net_raw, effective. */
const CAPABILITY = "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

const base: TarItem[] = [
  directory("usr/", { fraction: "123456789" }),
  directory("usr/bin/"),
  directory("usr/share/"),
  directory("etc/", { mode: 0o750, uid: 7, gid: 8 }),
  directory("run/"),
  file("run/gone", "emptied in images"),
  directory("dev/"),
  { path: "dev/null", type: "char", device: [1, 3], mode: 0o666 },
  { path: "dev/disk", type: "block", device: [259, 70_000], mode: 0o660 },
  { path: "dev/pipe", type: "fifo" },
  ...[0, 1, 63, 64, 65, 511, 512, 513, 4095, 4096, 4097, 65_536, 300_000].map((size) =>
    file(`usr/share/size-${size}`, noise(size, size)),
  ),
  file("usr/bin/tool", noise(70_000, 1), { mode: 0o4755, xattrs: { "security.capability": CAPABILITY } }),
  file("usr/share/labelled", noise(900, 2), {
    xattrs: {
      "user.note": "kept with keep-user-xattrs=\n\xff",
      "security.selinux": "system_u:object_r:usr_t:s0\0",
      "trusted.overlay.opaque": "y",
      "user.empty": "",
    },
  }),
  { path: "usr/bin/alias", type: "hardlink", target: "usr/bin/tool" },
  { path: "usr/bin/link", type: "symlink", target: "../share/size-65" },
  { path: "usr/bin/long-link", type: "symlink", target: `/${"deep/".repeat(180)}` },
  directory(`usr/share/${"d".repeat(255)}/`),
  file(`usr/share/${"d".repeat(255)}/${"f".repeat(255)}`, noise(3000, 3)),
  file(fromText("usr/share/größe-漢字"), "text"),
  file("usr/share/not\xfftext", noise(80, 4)),
  file("usr/share/old", noise(5000, 5), { mtime: 0 }),
  file("usr/share/replaced", noise(6000, 6)),
  directory("usr/share/opaque/"),
  file("usr/share/opaque/below", noise(7000, 7)),
  file("usr/share/large", noise(5 * 1024 * 1024, 8)),
];

const changes: TarItem[] = [
  directory("usr/share/"),
  file("usr/share/.wh.old", ""),
  file("usr/share/replaced", noise(6001, 9)),
  directory("usr/share/opaque/"),
  file("usr/share/opaque/.wh..wh..opq", ""),
  file("usr/share/opaque/above", noise(7000, 10)),
  { path: "usr/share/also-large", type: "hardlink", target: "usr/share/large" },
  file("usr/share/.wh.not-there", ""),
];

const additions: TarItem[] = Array.from({ length: 400 }, (_, i) =>
  file(`usr/share/small-${i}`, noise(i * 3, i)),
);

/** Each packing, whiteouts, attributes, hard links, odd names, large files; layers shared between images. */
export function writeSampleLayout(path: string): Record<"many" | "odd" | "sparse", WrittenImage> {
  const first = writeTar(base);
  const [many, odd, sparse] = writeLayout(path, [
    {
      tag: "many",
      layers: [
        { tar: first, packing: "gzip" },
        { tar: writeTar(changes), packing: "zstd" },
        { tar: writeTar(additions), packing: "plain" },
        ...Array.from({ length: 9 }, (_, i) => ({
          tar: writeTar([
            directory("opt/"),
            file(`opt/${i}`, noise(1000 * i, i)),
            file(`opt/.wh.${i - 2}`, ""),
          ]),
        })),
      ],
    },
    {
      tag: "odd",
      layers: [
        { tar: first, packing: "zstd-frames" },
        { tar: writeTar([...changes, file("usr/share/more", noise(100_000, 11))]), packing: "gzip-members" },
        { tar: writeTar(additions.slice(100)), packing: "zstd-skippable" },
        { tar: writeTar([]), packing: "gzip" },
      ],
    },
    {
      tag: "sparse",
      layers: [
        {
          tar: writeTar([
            directory("usr/"),
            file("usr/zeros", new Uint8Array(70 * 1024 * 1024)),
            file("usr/zeros-and-one", new Uint8Array(17 * 1024 * 1024 + 1).fill(1, -1)),
          ]),
          packing: "zstd",
        },
      ],
    },
  ]) as [WrittenImage, WrittenImage, WrittenImage];
  return { many, odd, sparse };
}
