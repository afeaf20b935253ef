import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cfsctlOk, type RunResult, runCfsctl } from "../support/cfsctl.ts";
import { type ContainersHome, writeContainersHome } from "../support/containers-home.ts";
import { type DockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { blobPath, digestOf, writeLayout } from "../support/oci-layout.ts";
import { startProxy } from "../support/proxy.ts";
import { findReference } from "../support/reference.ts";
import { hasTool } from "../support/skip.ts";
import { directory, file, writeTar } from "../support/tar-writer.ts";
import { type TempDir, tempDir, tempDirInMemory } from "../support/temp.ts";
import { debianLayout, TAG } from "./debian-image.ts";
import { command, differences, expectedOfImage, listTree } from "./tree-listing.ts";

/** A distribution to and from the registry that people run, over TLS and with a password. */

const REFERENCE = findReference();
const TOOLS = ["docker-registry", "skopeo", "debootstrap", "umoci"];

/** The layout, or why there is none. */
function available(): { layout: string } | { why: string } {
  if (process.getuid?.() !== 0) return { why: "needs root" };
  const missing = TOOLS.filter((tool) => !hasTool(tool));
  if (missing.length > 0) return { why: `needs ${missing.join(", ")}` };
  try {
    return { layout: debianLayout() };
  } catch (error) {
    return { why: `no image could be made: ${(error as Error).message}` };
  }
}

const found = available();
const layout = "layout" in found ? found.layout : "";
if ("why" in found) console.log(`skipped: ${found.why}`);

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}
interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}
interface Config {
  readonly rootfs: { readonly diff_ids: readonly string[] };
}

const user = { username: "tester", password: "a secret, with: signs" };
const LOGIN = `${user.username}:${user.password}`;
const CUT = 5_000_000;
/** No faster than the image can be stored, as networks are. */
const RATE = 50_000_000;

describe.skipIf("why" in found)("a distribution in a registry", () => {
  let scratch: TempDir;
  let registry: DockerRegistry;
  /** Digests by tag of what skopeo has put there. */
  let published: Record<string, string>;
  let expectedId: string;
  let serial = 0;

  const blobs = (path: string) => JSON.parse(readFileSync(path, "utf8")) as Manifest & Config;
  const inLayout = (folder: string) => {
    const { manifests } = JSON.parse(readFileSync(join(folder, "index.json"), "utf8"));
    const { digest } = manifests[0] as Descriptor;
    const manifest: Manifest = blobs(blobPath(folder, digest));
    const { rootfs }: Config = blobs(blobPath(folder, manifest.config.digest));
    return { digest, manifest, diffIds: rootfs.diff_ids };
  };
  const skopeo = (...args: string[]) => command("skopeo", "--insecure-policy", "copy", "-q", ...args);
  const access = (side: "src" | "dest", { certificates, authFile }: DockerRegistry) => [
    `--${side}-cert-dir=${certificates}`,
    `--authfile=${authFile}`,
  ];
  const manifestOf = async (reference: string) => {
    const answer = await fetch(`${registry.url}/v2/debian/manifests/${reference}`, {
      headers: {
        authorization: `Basic ${btoa(LOGIN)}`,
        accept:
          "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json",
      },
      tls: { ca: readFileSync(join(registry.certificates, "ca.crt"), "utf8") },
    });
    return new Uint8Array(await answer.arrayBuffer());
  };

  beforeAll(async () => {
    scratch = tempDirInMemory(4e9);
    registry = await startDockerRegistry({ user });
    const variants = {
      gzip: [],
      zstd: ["--dest-compress-format=zstd", "--dest-compress-level=1"],
      chunked: ["--dest-compress-format=zstd:chunked", "--dest-compress-level=1"],
      schema2: ["--format=v2s2"],
    };
    for (const [tag, options] of Object.entries(variants)) {
      // On the way to a registry, skopeo may put a blob that is there already in the place of a layer.
      const folder = scratch.join(tag);
      const from = tag === "schema2" ? `dir:${folder}` : `oci:${folder}:${TAG}`;
      skopeo(...options, `oci:${layout}:${TAG}`, from);
      const to = `docker://${registry.host}/debian:${tag}`;
      skopeo("--preserve-digests", ...access("dest", registry), from, to);
      rmSync(folder, { recursive: true });
    }
    writePlatforms(scratch.join("platforms"));
    skopeo(
      "--all",
      ...access("dest", registry),
      `oci:${scratch.join("platforms")}`,
      `docker://${registry.host}/debian:platforms`,
    );
    published = {};
    for (const tag of Object.keys(variants)) {
      const manifest = await manifestOf(tag);
      published[tag] = digestOf(manifest);
      const [base] = (JSON.parse(Buffer.from(manifest).toString()) as Manifest).layers;
      const isZstd = base!.mediaType.endsWith("+zstd");
      expect([tag, isZstd]).toEqual([tag, tag === "zstd" || tag === "chunked"]);
    }

    const local = newRepository();
    cfsctlOk(["--repo", local, "oci", "pull", `oci:${layout}:${TAG}`, "debian"]);
    expectedId = cfsctlOk(["--repo", local, "oci", "compute-id", "debian"]).trim();
  }, 240_000);
  afterAll(() => {
    registry?.[Symbol.dispose]();
    scratch?.[Symbol.dispose]();
  }, 60_000);

  /** An index with the distribution for this machine, and something small for another one. */
  function writePlatforms(folder: string): void {
    const [other] = writeLayout(folder, [
      {
        tag: "other",
        layers: [{ tar: writeTar([directory("usr/"), file("usr/other", "for another machine")]) }],
        config: (config) => {
          config.architecture = "s390x";
        },
      },
    ]);
    for (const name of readdirSync(join(layout, "blobs/sha256")))
      linkOrCopy(blobPath(layout, `sha256:${name}`), blobPath(folder, `sha256:${name}`));
    const here = inLayout(layout);
    const describe = (digest: string, architecture: string) => ({
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      digest,
      size: readFileSync(blobPath(folder, digest)).length,
      platform: { os: "linux", architecture },
    });
    const put = (value: object) => {
      const bytes = Buffer.from(JSON.stringify(value));
      writeFileSync(blobPath(folder, digestOf(bytes)), bytes);
      return {
        mediaType: "application/vnd.oci.image.index.v1+json",
        digest: digestOf(bytes),
        size: bytes.length,
      };
    };
    const index = put({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [
        describe(other!.manifest, "s390x"),
        describe(here.digest, process.arch === "x64" ? "amd64" : process.arch),
      ],
    });
    writeFileSync(join(folder, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [index] }));
  }

  function newRepository(place: TempDir = scratch): string {
    const repository = place.join(`repository-${serial++}`);
    cfsctlOk(["--repo", repository, "init", "--insecure"]);
    return repository;
  }

  /** Pulls into a new repository, or the given one. */
  async function pull(
    name: string,
    options: readonly string[] = [],
    { home = {}, env = {}, into = newRepository() } = {} as {
      home?: ContainersHome;
      env?: Record<string, string>;
      into?: string;
    },
  ): Promise<{ repository: string; digest: string; result: RunResult }> {
    const host = name.slice(0, name.indexOf("/"));
    const environment = writeContainersHome(`${into}-home`, {
      logins: { [host]: LOGIN },
      trusted: [host],
      ...home,
    });
    const args = ["--repo", into, "oci", "pull", "--json", ...options, `docker://${name}`, "debian"];
    const result = await runCfsctl(args, { env: { ...environment, ...env }, timeoutMs: 200_000 });
    if (result.code !== 0) throw new Error(result.stderr);
    return { repository: into, digest: JSON.parse(result.stdout).manifest, result };
  }

  const idOf = (repository: string) => cfsctlOk(["--repo", repository, "oci", "compute-id", "debian"]).trim();

  test("is the same by name, by digest, by platform and however it is compressed", async () => {
    const { host } = registry;
    const byName = await pull(`${host}/debian:gzip`);
    expect([byName.digest, idOf(byName.repository)]).toEqual([published.gzip!, expectedId]);
    for (const name of [`${host}/debian@${published.gzip}`, `${host}/debian:platforms`]) {
      const again = await pull(name, [], { into: byName.repository });
      expect([name, again.digest, idOf(again.repository)]).toEqual([name, published.gzip!, expectedId]);
    }
    rmSync(byName.repository, { recursive: true });
    for (const tag of ["zstd", "chunked"]) {
      const packed = await pull(`${host}/debian:${tag}`);
      expect([tag, packed.digest, idOf(packed.repository)]).toEqual([tag, published[tag]!, expectedId]);
      rmSync(packed.repository, { recursive: true });
    }
    const other = await pull(`${host}/debian:platforms`, ["--platform", "linux/s390x"]);
    expect(cfsctlOk(["--repo", other.repository, "oci", "dump", "debian"])).toContain("/usr/other ");
  }, 200_000);

  test("comes from a mirror", async () => {
    const { host } = registry;
    const registries = `[[registry]]\nlocation = "nowhere.invalid/lib"\n[[registry.mirror]]\nlocation = "${host}"\n`;
    const before = registry.accesses().length;
    const { repository, digest } = await pull("nowhere.invalid/lib/debian:gzip", [], {
      home: { registries, logins: { [host]: LOGIN }, trusted: [host] },
    });
    expect([digest, idOf(repository)]).toEqual([published.gzip!, expectedId]);
    const fetched = registry
      .accesses()
      .slice(before)
      .filter(({ method, path }) => method === "GET" && path.includes("/blobs/"));
    expect(fetched.length).toBe(4);
  }, 100_000);

  test("survives connections through a proxy that break every 5 MB, and is hardly fetched twice", async () => {
    const port = registry.host.split(":")[1];
    // this machine itself is never asked for through a proxy
    const host = `registry.test:${port}`;
    using proxy = await startProxy({
      cutAfter: CUT,
      bytesPerSecond: RATE,
      routes: { [host]: registry.host },
    });
    const { repository, digest } = await pull(`${host}/debian:gzip`, [], {
      env: { HTTPS_PROXY: proxy.url },
    });
    expect([digest, idOf(repository)]).toEqual([published.gzip!, expectedId]);
    const { layers } = inLayout(layout).manifest;
    const size = layers.reduce((sum, layer) => sum + layer.size, 0);
    const broken = proxy.connections.filter(({ wasCut }) => wasCut).length;
    expect(broken).toBeGreaterThanOrEqual(Math.floor(size / CUT));
    // fetch drops what it has received, but not handed out when a connection ends
    expect(proxy.received).toBeLessThan(size * 1.15);
  }, 200_000);

  test("is kept as Docker's tools have put it, and the reference takes it", async () => {
    // the reference mounts nothing that lies in memory
    using disk = tempDir();
    const into = newRepository(disk);
    const { repository, digest } = await pull(`${registry.host}/debian:schema2`, [], { into });
    expect([digest, idOf(repository)]).toEqual([published.schema2!, expectedId]);
    const stored = cfsctlOk(["--repo", repository, "oci", "inspect", "debian", "--manifest"]);
    expect(digestOf(Buffer.from(stored.replace(/\n$/, "")))).toBe(published.schema2!);
    expect(JSON.parse(stored).mediaType).toBe("application/vnd.docker.distribution.manifest.v2+json");
    if (REFERENCE === undefined)
      return console.log("skipped: needs the reference (test/interop/install-reference)");
    const run = (...args: string[]) => command(REFERENCE, "--repo", repository, ...args);
    expect(run("oci", "images")).toContain("debian");
    expect(run("oci", "fsck")).toContain("status: ok");
    const mountpoint = disk.join("by-reference");
    mkdirSync(mountpoint);
    // it takes only images with OCI's type of config for containers: `oci mount` refuses, and lists an artifact
    run("mount", expectedId, mountpoint);
    try {
      expect(readFileSync(join(mountpoint, "usr/share/doc/README"), "utf8")).toBe("back again\n");
    } finally {
      command("umount", mountpoint);
    }
  }, 100_000);

  test("goes back into an empty registry: freshly compressed, or byte for byte", async () => {
    using empty = await startDockerRegistry({ user });
    const original = inLayout(layout);
    const push = async (repository: string, name: string, ...options: string[]) => {
      const env = writeContainersHome(`${repository}-push`, {
        logins: { [empty.host]: LOGIN },
        trusted: [empty.host],
      });
      const to = `docker://${empty.host}/${name}`;
      const result = await runCfsctl(
        ["--repo", repository, "oci", "push", "--json", ...options, "debian", to],
        {
          env,
          timeoutMs: 200_000,
        },
      );
      if (result.code !== 0) throw new Error(result.stderr);
      const folder = scratch.join(name.replace(":", "-"));
      skopeo(...access("src", empty), to, `oci:${folder}:pushed`);
      return { folder, ...inLayout(folder) };
    };
    const { repository } = await pull(`${registry.host}/debian:gzip`, ["--keep-blobs"]);
    const kept = await push(repository, "kept:1");
    expect(kept.digest).toBe(published.gzip!);

    const plain = newRepository();
    cfsctlOk(["--repo", plain, "oci", "pull", `oci:${layout}:${TAG}`, "debian"]);
    const fresh = await push(plain, "fresh:1", "--compression", "zstd", "--compression-level", "1");
    expect(fresh.manifest.config.digest).toBe(original.manifest.config.digest);
    expect(fresh.diffIds).toEqual(original.diffIds);
    expect(fresh.manifest.layers.map(({ mediaType }) => mediaType)).toEqual(
      fresh.diffIds.map(() => "application/vnd.oci.image.layer.v1.tar+zstd"),
    );

    const bundle = scratch.join("bundle");
    // umoci knows gzip only
    const repacked = await push(plain, "gzip:1", "--compression-level", "1");
    command("umoci", "unpack", "--image", `${repacked.folder}:pushed`, bundle);
    const mountpoint = scratch.join("mounted");
    mkdirSync(mountpoint);
    cfsctlOk(["--repo", plain, "oci", "mount", "debian", mountpoint]);
    try {
      const expected = expectedOfImage(listTree(join(bundle, "rootfs")));
      expect(differences(listTree(mountpoint), expected)).toEqual([]);
    } finally {
      command("umount", mountpoint);
    }
  }, 240_000);
});

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    command("cp", from, to);
  }
}
