import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CFSCTL, cfsctl, cfsctlOk, type RunResult, runCfsctl } from "../support/cfsctl.ts";
import { type ContainersHome, writeContainersHome } from "../support/containers-home.ts";
import { blobPath, type WrittenImage, writeLayout } from "../support/oci-layout.ts";
import { startProxy } from "../support/proxy.ts";
import { type RegistryOptions, startRegistry, type TestRegistry } from "../support/registry.ts";
import { testNeeding } from "../support/skip.ts";
import { directory, file, noise, writeTar } from "../support/tar-writer.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

/** What the connection to a registry goes through, seen by the built program. */

let scratch: TempDir;
let layout: string;
let image: WrittenImage;
/** Images as they are without a registry. */
let expectedId: string;
let serial = 0;

beforeAll(() => {
  scratch = tempDir();
  layout = scratch.join("layout");
  [image] = writeLayout(layout, [
    {
      tag: "1",
      layers: [300_000, 2_000_000, 900_000].map((size, i) => ({
        tar: writeTar([directory("usr/"), file(`usr/${i}`, noise(size, i))]),
      })),
    },
  ]) as [WrittenImage];
  const repository = newRepository();
  cfsctlOk(["--repo", repository, "oci", "pull", `oci:${layout}:1`, "app"]);
  expectedId = cfsctlOk(["--repo", repository, "oci", "compute-id", "app"]);
});
afterAll(() => scratch[Symbol.dispose]());

function newRepository(): string {
  const repository = scratch.join(`repository-${serial++}`);
  cfsctlOk(["--repo", repository, "init", "--insecure"]);
  return repository;
}

const sizeOf = (digest: string) => Bun.file(blobPath(layout, digest)).size;

const user = { username: "somebody", password: "the right one" };
const LOGIN = `${user.username}:${user.password}`;

/** A registry with the image as team/app:1, and what a user needs to pull from it into a repository. */
async function start(options: RegistryOptions = {}, home: ContainersHome = {}) {
  const registry = await startRegistry(options);
  registry.content.addLayout("team/app", layout);
  const repository = newRepository();
  const insecure = `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n`;
  const env = writeContainersHome(`${repository}-home`, {
    ...(!options.tls && { registries: insecure }),
    ...home,
  });
  const pull = (
    name = `${registry.host}/team/app:1`,
    more: Record<string, string | undefined> = {},
  ): Promise<RunResult> =>
    runCfsctl(["--repo", repository, "oci", "pull", `docker://${name}`, "app"], {
      env: { ...env, ...more },
      timeoutMs: 60_000,
    });
  return { registry, repository, pull, [Symbol.dispose]: () => registry[Symbol.dispose]() };
}

function expectImage(repository: string, { code, stderr }: RunResult): void {
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  expect(cfsctlOk(["--repo", repository, "oci", "compute-id", "app"])).toBe(expectedId);
  expect(cfsctlOk(["--repo", repository, "fsck"])).toContain("status: ok");
}

/** One sentence, perhaps one of advice, and no trace of the program's inside; nothing is found in the repository. */
function expectRefusal(repository: string, { code, stdout, stderr }: RunResult): string {
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  const lines = stderr.split("\n").filter((line) => /^(cfsctl: |hint: )/.test(line));
  expect(lines[0]).toStartWith("cfsctl: error: ");
  expect(lines.length).toBeLessThanOrEqual(2);
  expect(stderr).not.toContain("\u001b");
  expect(stderr).not.toMatch(/\n\s+at /);
  expect(cfsctlOk(["--repo", repository, "fsck"])).toContain("status: ok");
  expect(JSON.parse(cfsctlOk(["--repo", repository, "oci", "images", "--json"]))).toEqual({ images: [] });
  return stderr;
}

/** What may be lost when a connection ends: fetch drops what it has received, but not handed out yet. */
const LOST_PER_BREAK = 640 * 1024;

const always = { times: Infinity };
const MANIFEST = /\/manifests\//;
const SECOND_LAYER = () => new RegExp(image.layers[1]!.digest);

interface Refusal {
  readonly name: string;
  readonly options?: RegistryOptions;
  readonly home?: (registry: TestRegistry) => ContainersHome;
  readonly spoil?: (registry: TestRegistry) => void;
  readonly reference?: () => string;
  readonly message: RegExp;
  /** The next attempt succeeds once the faults are gone. */
  readonly recovers?: boolean;
}

const refusals: Refusal[] = [
  {
    name: "a wrong password",
    options: { auth: { scheme: "basic", ...user } },
    home: ({ host }) => ({ logins: { [host]: "somebody:wrong" } }),
    message: /refused the credentials of user somebody.*\nhint: log in with/,
  },
  {
    name: "a wrong password for a token",
    options: { auth: { scheme: "bearer", user } },
    home: ({ host }) => ({ logins: { [host]: "somebody:wrong" } }),
    message: /refused the credentials of user somebody.*\nhint: log in with/,
  },
  {
    name: "no credentials",
    options: { auth: { scheme: "basic", ...user } },
    message: /needs a login.*\nhint: .*log in with/,
  },
  { name: "an unknown tag", reference: () => "team/app:2", message: /2 of team\/app not found.*\nhint: / },
  {
    name: "an unknown digest",
    reference: () => `team/app@sha256:${"1".repeat(64)}`,
    message: /not found.*\nhint: /,
  },
  { name: "an unknown repository", reference: () => "team/other:1", message: /not found.*\nhint: / },
  {
    name: "a manifest that is too large",
    spoil: (registry) => registry.fault(MANIFEST, { extraBytes: 5 << 20 }, always),
    message: /manifest.*is larger than 4194304 bytes/,
    recovers: true,
  },
  {
    name: "a manifest without an end",
    spoil: (registry) => registry.fault(MANIFEST, { endless: true }, always),
    message: /manifest.*is larger than 4194304 bytes/,
    recovers: true,
  },
  {
    name: "a manifest with another digest",
    spoil: (registry) => registry.fault(MANIFEST, { corruptAt: 100 }, always),
    reference: () => `team/app@${image.manifest}`,
    message: /digest mismatch/,
    recovers: true,
  },
  {
    name: "a page instead of a manifest",
    spoil: (registry) =>
      registry.fault(
        MANIFEST,
        {
          body: "<html>Log in to the hotel's network</html>",
          headers: { "Content-Type": "text/html", "Docker-Content-Digest": null },
        },
        always,
      ),
    message: /manifest/,
    recovers: true,
  },
  {
    name: "a config with another digest",
    spoil: (registry) => registry.fault(new RegExp(image.config), { corruptAt: 5 }, always),
    message: /Config digest mismatch/,
    recovers: true,
  },
  {
    name: "a layer with a wrong byte",
    spoil: (registry) => registry.fault(SECOND_LAYER(), { corruptAt: 1_000_000 }, always),
    message: /layer sha256:/,
    recovers: true,
  },
  {
    name: "a layer that is longer than the manifest says",
    spoil: (registry) => registry.fault(SECOND_LAYER(), { extraBytes: 10 }, always),
    message: /has \d+ bytes, but the manifest says/,
    recovers: true,
  },
  {
    name: "a layer without an end",
    spoil: (registry) => registry.fault(SECOND_LAYER(), { endless: true }, always),
    message: /is larger than \d+ bytes/,
    recovers: true,
  },
  {
    name: "a layer that is not there",
    spoil: (registry) => registry.fault(SECOND_LAYER(), { status: 404 }, always),
    message: /blob sha256:\S+ of team\/app not found/,
    recovers: true,
  },
  {
    name: "a layer that is denied, with control characters in the reason",
    spoil: (registry) =>
      registry.fault(
        SECOND_LAYER(),
        {
          status: 403,
          body: JSON.stringify({ errors: [{ code: "DENIED", message: "\u001b[31mred\nnext line" }] }),
        },
        always,
      ),
    message: /denied/,
    recovers: true,
  },
  {
    name: "a server that wants us to come back tomorrow",
    spoil: (registry) =>
      registry.fault(SECOND_LAYER(), { status: 429, headers: { "Retry-After": "86400" } }, always),
    message: /too many requests.*\nhint: /,
    recovers: true,
  },
  {
    name: "a token service that is down",
    options: { auth: { scheme: "bearer", user } },
    home: ({ host }) => ({ logins: { [host]: LOGIN } }),
    spoil: (registry) => registry.fault("/token", { status: 503 }, always),
    message: /token server.*503.*\nhint: /,
    recovers: true,
  },
  {
    name: "a token service that nobody listens for",
    options: { auth: { scheme: "bearer", realm: "http://127.0.0.1:1/token" } },
    message: /token.*connection refused.*\nhint: /,
  },
  {
    name: "a token service that gives less than is needed",
    options: { auth: { scheme: "bearer", user, grant: () => [] } },
    home: ({ host }) => ({ logins: { [host]: LOGIN } }),
    message: /does not allow repository:team\/app:pull/,
  },
  {
    name: "a certificate of an unknown authority",
    options: { tls: true },
    home: () => ({ registries: "" }),
    message: /not trusted.*\nhint: /,
  },
  {
    name: "no client certificate",
    options: { tls: true, clientCertificate: true },
    home: ({ host }) => ({ trusted: [host] }),
    message: /docker:/,
  },
  {
    name: "a layer that is cut off at once, again and again",
    spoil: (registry) => registry.fault(SECOND_LAYER(), { cutAfter: 0 }, always),
    message: /closed.*\nhint: check the network/,
    recovers: true,
  },
  {
    name: "a blocked registry",
    home: ({ host }) => ({ registries: `[[registry]]\nlocation = "${host}/team"\nblocked = true\n` }),
    message: /is blocked in .*registries.conf/,
  },
];

describe("is refused, with a reason, without a trace", () => {
  test.concurrent.each(refusals)(
    "$name",
    async ({ options = {}, home, spoil, reference, message, recovers }) => {
      using setup = await start(options);
      const { registry, repository, pull } = setup;
      if (home !== undefined) {
        const insecure = `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n`;
        writeContainersHome(`${repository}-home`, {
          ...(!options.tls && { registries: insecure }),
          ...home(registry),
        });
      }
      spoil?.(registry);
      const name = reference === undefined ? undefined : `${registry.host}/${reference()}`;
      expect(expectRefusal(repository, await pull(name))).toMatch(message);
      for (const { headers } of registry.requests) expect(headers.get("user-agent")).toMatch(/^cfsctl\/\d/);
      if (!recovers) return;
      registry.clearFaults();
      expectImage(repository, await pull(name));
    },
    60_000,
  );

  test.concurrent("an unknown host", async () => {
    const repository = newRepository();
    const env = writeContainersHome(`${repository}-home`, {});
    const result = await runCfsctl(
      ["--repo", repository, "oci", "pull", "docker://nobody.invalid/team/app:1", "app"],
      { env },
    );
    expect(expectRefusal(repository, result)).toMatch(/nobody\.invalid/);
  }, 60_000);
});

describe("gets through", () => {
  const [first, second, third] = [0, 1, 2].map((i) => () => image.layers[i]!.digest) as [
    () => string,
    () => string,
    () => string,
  ];

  test.concurrent("connections that break: what has come is not fetched again", async () => {
    using setup = await start();
    const { registry, repository, pull } = setup;
    registry.fault(SECOND_LAYER(), { cutAfter: 900_000 }, always);
    expectImage(repository, await pull());
    const parts = registry.sent(second());
    expect(parts.length).toBeGreaterThanOrEqual(3);
    parts.slice(1).forEach(([from], i) => {
      expect(from).toBeGreaterThanOrEqual(parts[i]![1] - LOST_PER_BREAK);
    });
    expect(registry.traffic(first()).twice + registry.traffic(third()).twice).toBe(0);
  }, 60_000);

  test.concurrent("a pull that gave up: the next one goes on where it was", async () => {
    using setup = await start();
    const { registry, repository, pull } = setup;
    registry.fault(SECOND_LAYER(), { cutAfter: 1_500_000 });
    registry.fault(SECOND_LAYER(), { status: 404 }, { from: 2 });
    expectRefusal(repository, await pull());
    expectImage(repository, await pull());
    expect(registry.sent(second()).length).toBe(2);
    expect(registry.traffic(second()).twice).toBeLessThanOrEqual(LOST_PER_BREAK);
    // of the others, what was under way when they were given up is sent again
    for (const other of [first(), third()]) expect(registry.sent(other).length).toBeLessThanOrEqual(2);
  }, 60_000);

  test.concurrent("an end by kill: the next one goes on", async () => {
    using setup = await start();
    const { registry, repository } = setup;
    registry.fault(SECOND_LAYER(), { bytesPerSecond: 2_000_000 });
    const env = writeContainersHome(`${repository}-home`, {
      registries: `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n`,
    });
    const child = Bun.spawn(
      [CFSCTL, "--repo", repository, "oci", "pull", `docker://${registry.host}/team/app:1`, "app"],
      { env: { ...process.env, ...env }, stdout: "ignore", stderr: "ignore" },
    );
    while ((registry.sent(second())[0]?.[1] ?? 0) < 1_000_000) await Bun.sleep(10);
    child.kill("SIGKILL");
    await child.exited;
    expect(cfsctlOk(["--repo", repository, "fsck"])).toContain("status: ok");
    expectImage(repository, await setup.pull());
    // what was under way when it died
    expect(registry.traffic(second()).twice).toBeLessThan(400_000);
  }, 60_000);

  test.concurrent("too many requests, servers that fail for a while, timeouts", async () => {
    using setup = await start();
    const { registry, repository, pull } = setup;
    registry.fault(MANIFEST, { status: 429, headers: { "Retry-After": "1" } });
    registry.fault(SECOND_LAYER(), { status: 503 });
    registry.fault(SECOND_LAYER(), { status: 500 }, { from: 2 });
    registry.fault(SECOND_LAYER(), { status: 408 }, { from: 3 });
    registry.fault(new RegExp(image.config), { refuse: true });
    const begun = performance.now();
    expectImage(repository, await pull());
    expect(performance.now() - begun).toBeGreaterThan(1000);
    expect(registry.traffic(second())).toEqual({ bytes: sizeOf(second()), twice: 0 });
  }, 60_000);

  test.concurrent("servers without ranges: the layer is fetched anew", async () => {
    using setup = await start({ ranges: "none" });
    const { registry, repository, pull } = setup;
    registry.fault(SECOND_LAYER(), { cutAfter: 500_000 });
    expectImage(repository, await pull());
    expect(registry.sent(second())).toEqual([
      [0, 500_000],
      [0, sizeOf(second())],
    ]);
  }, 60_000);

  test.concurrent("answers for another range than was asked for", async () => {
    using setup = await start();
    const { registry, repository, pull } = setup;
    registry.fault(SECOND_LAYER(), { cutAfter: 500_000 });
    registry.fault(
      SECOND_LAYER(),
      { headers: { "Content-Range": `bytes 400000-${sizeOf(second()) - 1}/${sizeOf(second())}` } },
      { from: 2, times: 1 },
    );
    const result = await pull();
    if (result.code !== 0) {
      expectRefusal(repository, result);
      expectImage(repository, await pull());
    } else expectImage(repository, result);
  }, 60_000);

  test.concurrent("tokens that expire on the way", async () => {
    using setup = await start({ auth: { scheme: "bearer", anonymousPull: true, usesPerToken: 4 } });
    const { registry, repository, pull } = setup;
    registry.fault(SECOND_LAYER(), { cutAfter: 500_000 });
    expectImage(repository, await pull());
    expect(registry.tokensIssued).toBeGreaterThanOrEqual(2);
  }, 60_000);

  test.concurrent("redirects to another server, which sees no credentials", async () => {
    using storage = await startRegistry({ name: "localhost" });
    using setup = await start({
      auth: { scheme: "basic", ...user },
      redirectBlobs: storage,
      content: storage.content,
    });
    const { registry, repository, pull } = setup;
    writeContainersHome(`${repository}-home`, {
      registries: `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n`,
      logins: { [registry.host]: LOGIN },
    });
    storage.fault(SECOND_LAYER(), { cutAfter: 1_000_000 });
    expectImage(repository, await pull());
    expect(storage.requests.length).toBe(5);
    for (const { headers } of storage.requests) {
      expect(headers.get("authorization")).toBeNull();
      expect([...headers.values()].join()).not.toContain(btoa(LOGIN));
    }
    expect(storage.traffic(second()).twice).toBeLessThanOrEqual(LOST_PER_BREAK);
  }, 60_000);

  test.concurrent("mirrors that are down or lack the image", async () => {
    using empty = await startRegistry();
    using setup = await start();
    const { registry, repository, pull } = setup;
    const mirrors = ["127.0.0.1:1", `${empty.host}/mirror`].map(
      (location) => `[[registry.mirror]]\nlocation = "${location}"\ninsecure = true\n`,
    );
    writeContainersHome(`${repository}-home`, {
      registries:
        `[[registry]]\nprefix = "images.example"\nlocation = "${registry.host}"\ninsecure = true\n` +
        mirrors.join(""),
    });
    expectImage(repository, await pull("images.example/team/app:1"));
    expect(empty.requestsTo("/mirror/team/app/manifests/1").length).toBeGreaterThan(0);
    // the whole image comes from one place
    expect(registry.requestsTo("/team/app/blobs/").length).toBe(4);
  }, 60_000);

  test.concurrent("TLS with a client certificate, and a proxy that wants a password", async () => {
    using setup = await start({ tls: true, clientCertificate: true });
    const { registry, repository, pull } = setup;
    const host = `registry.test:${registry.port}`;
    writeContainersHome(`${repository}-home`, { trusted: [host], clientCertificates: [host] });
    const login = "proxy user:p@ss";
    using proxy = await startProxy({ routes: { [host]: registry.host }, login, cutAfter: 1_000_000 });
    const url = proxy.url.replace("//", `//${login.split(":").map(encodeURIComponent).join(":")}@`);
    expectImage(repository, await pull(`${host}/team/app:1`, { HTTPS_PROXY: url }));
    expect(proxy.connections.filter(({ wasCut }) => wasCut).length).toBeGreaterThanOrEqual(2);
    expect(new Set(proxy.connections.map(({ target }) => target))).toEqual(new Set([host]));
  }, 60_000);

  testNeeding("root")(
    "a full disk: nothing is left behind, and it goes on when there is room",
    async () => {
      using setup = await start();
      const { registry, repository } = setup;
      const small = scratch.join("small");
      const command = (...argv: string[]) => expect(Bun.spawnSync(argv).exitCode).toBe(0);
      command("mkdir", small);
      command("mount", "-t", "tmpfs", "-o", "size=2500k", "none", small);
      try {
        const full = `${small}/repository`;
        cfsctlOk(["--repo", full, "init", "--insecure"]);
        const args = ["--repo", full, "oci", "pull", `docker://${registry.host}/team/app:1`, "app"];
        const env = writeContainersHome(`${repository}-home`, {
          registries: `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n`,
        });
        const refused = await runCfsctl(args, { env });
        expect(refused.code).toBe(1);
        expect(refused.stderr).toMatch(/only \d+ are free.*\nhint: /);
        expect(cfsctl(["--repo", full, "oci", "images"]).stdout).not.toContain("app");
        command("mount", "-o", "remount,size=20m", small);
        expectImage(full, await runCfsctl(args, { env }));
        for (const { digest } of image.layers) expect(registry.traffic(digest).twice).toBe(0);
      } finally {
        command("umount", small);
      }
    },
    60_000,
  );
});
