import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  globSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { tempDir } from "../support/temp.ts";

/** Counted up when what is made changes: the cache then makes it anew. */
const RECIPE = 1;
const PACKAGES = "iputils-ping,libcap2-bin,perl,gcc";
export const TAG = "base";

/**
 * An OCI layout of three layers with this machine's distribution: installed, thinned out, added to. Made once a
 * machine and kept in the cache; needs root, debootstrap, umoci and the package mirror that apt uses.
 */
export function debianLayout(): string {
  const { mirror, suite } = aptSource();
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "cfsctl");
  const layout = join(cache, `image-${suite}-${process.arch}-${RECIPE}`);
  if (existsSync(layout)) return layout;
  mkdirSync(cache, { recursive: true });
  using work = tempDir(cache);
  const unfinished = work.join("layout");
  const bundle = work.join("bundle");
  const root = join(bundle, "rootfs");
  const image = `${unfinished}:${TAG}`;
  const repack = () => command("umoci", "repack", "--refresh-bundle", "--image", image, bundle);

  command("umoci", "init", "--layout", unfinished);
  command("umoci", "new", "--image", image);
  command("umoci", "unpack", "--image", image, bundle);
  command("debootstrap", "--variant=minbase", `--include=${PACKAGES}`, suite, root, mirror);
  repack();
  thinOut(root);
  repack();
  addTo(root);
  repack();
  command("umoci", "gc", "--layout", unfinished);
  renameSync(unfinished, layout);
  return layout;
}

/** First package mirror and suite that apt is configured with, in either form of its files. */
function aptSource(): { mirror: string; suite: string } {
  const texts = [
    ...globSync("/etc/apt/sources.list.d/{debian,ubuntu}.sources"),
    ...globSync("/etc/apt/sources.list"),
  ].map((path) => readFileSync(path, "utf8"));
  for (const text of texts) {
    const uri = /^URIs:\s*(\S+)/m.exec(text)?.[1] ?? /^deb\s+(?:\[.*?\]\s+)?(\S+)/m.exec(text)?.[1];
    const suite = /^Suites:\s*(\S+)/m.exec(text)?.[1] ?? /^deb\s+(?:\[.*?\]\s+)?\S+\s+(\S+)/m.exec(text)?.[1];
    if (uri === undefined || suite === undefined) continue;
    const list = /^mirror\+file:(.*)/.exec(uri)?.[1];
    const mirror = list === undefined ? uri : /^\S+/m.exec(readFileSync(list, "utf8"))?.[0];
    if (mirror !== undefined) return { mirror, suite };
  }
  throw new Error("apt has no package mirror configured");
}

/** Removals and changes of all kinds. */
function thinOut(root: string): void {
  rmSync(join(root, "usr/share/doc"), { recursive: true });
  rmSync(join(root, "usr/share/man"), { recursive: true });
  mkdirSync(join(root, "usr/share/man"));
  for (const path of globSync(join(root, "usr/share/locale/*")).slice(5)) rmSync(path, { recursive: true });
  rmSync(join(root, "usr/bin/tac"));
  appendFileSync(join(root, "etc/passwd"), "guest:x:1000:1000::/home/guest:/bin/sh\n");
  chmodSync(join(root, "usr/bin/head"), 0o700);
  chownSync(join(root, "usr/bin/tail"), 123, 4_000_000_000);
  lutimesSync(join(root, "usr/bin/sort"), 1, 1);
  rmSync(join(root, "etc/issue"));
  mkdirSync(join(root, "etc/issue"));
  rmSync(join(root, "var/opt"), { recursive: true });
  writeFileSync(join(root, "var/opt"), "no longer a directory\n");
}

/** Additions, some where the layer below removed. */
function addTo(root: string): void {
  cpSync(join(root, "usr/share/perl5"), join(root, "opt/perl5"), {
    recursive: true,
    verbatimSymlinks: true,
    force: true,
  });
  mkdirSync(join(root, "usr/share/doc"));
  writeFileSync(join(root, "usr/share/doc/README"), "back again\n");
  linkSync(join(root, "usr/bin/perl"), join(root, "opt/perl"));
  symlinkSync("../usr/bin/tac", join(root, "opt/dangling"));
  writeFileSync(join(root, "opt/größe 漢字"), Buffer.alloc(1_000_000, "text that repeats, "));
  writeFileSync(join(root, "opt/zeros"), Buffer.alloc(3 << 20));
  writeFileSync(join(root, "opt/empty"), "");
  chmodSync(join(root, "opt/perl5"), 0o2775);
  command("chroot", root, "cp", "/usr/bin/env", "/opt/privileged");
  command("chroot", root, "setcap", "cap_net_admin,cap_net_raw=ep", "/opt/privileged");
}

function command(...argv: string[]): void {
  const result = Bun.spawnSync(argv, { stdout: "pipe", stderr: "pipe" });
  if (!result.success) {
    throw new Error(`${argv.slice(0, 2).join(" ")}: ${result.stdout}${result.stderr}`.slice(-2000));
  }
}
