import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cfsctlOk, runCfsctl } from "../support/cfsctl.ts";
import { writeContainersHome } from "../support/containers-home.ts";
import { digestOf, type WrittenImage, writeLayout } from "../support/oci-layout.ts";
import { type RegistryOptions, startRegistry } from "../support/registry.ts";
import { directory, file, noise, writeTar } from "../support/tar-writer.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

/** Images on their way into a registry, seen by the built program. */

let scratch: TempDir;
let image: WrittenImage;
let repository: string;

beforeAll(() => {
  scratch = tempDir();
  const layout = scratch.join("layout");
  [image] = writeLayout(layout, [
    {
      tag: "1",
      layers: [200_000, 1_500_000].map((size, i) => ({
        tar: writeTar([directory("usr/"), file(`usr/${i}`, noise(size, i))]),
      })),
    },
  ]) as [WrittenImage];
  repository = scratch.join("repository");
  cfsctlOk(["--repo", repository, "init", "--insecure"]);
  cfsctlOk(["--repo", repository, "oci", "pull", "--keep-blobs", `oci:${layout}:1`, "app"]);
});
afterAll(() => scratch[Symbol.dispose]());

const user = { username: "somebody", password: "the right one" };

async function start(options: RegistryOptions = {}, login = `${user.username}:${user.password}`) {
  const registry = await startRegistry(options);
  const env = writeContainersHome(scratch.join(`home-${registry.port}`), {
    registries: `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n`,
    logins: { [registry.host]: login },
  });
  const push = (...more: string[]) =>
    runCfsctl(["--repo", repository, "oci", "push", ...more, "app", `docker://${registry.host}/team/app:1`], {
      env,
      timeoutMs: 60_000,
    });
  const pushed = () => {
    const found = registry.content.manifest("team/app", "1");
    return found && digestOf(found.bytes);
  };
  return { registry, push, pushed, [Symbol.dispose]: () => registry[Symbol.dispose]() };
}

describe("a push", () => {
  test.concurrent.each([
    ["without a password", {}],
    ["with a password", { auth: { scheme: "basic", ...user } }],
    ["with tokens that expire", { auth: { scheme: "bearer", user, usesPerToken: 4 } }],
    ["without mounts", { mounts: false }],
  ] as [string, RegistryOptions][])(
    "%s: blobs first, then the manifest",
    async (_, options) => {
      using setup = await start(options);
      const { registry, push, pushed } = setup;
      expect(await push()).toMatchObject({ code: 0 });
      expect(pushed()).toBe(image.manifest);
      expect(registry.content.blobs("team/app").sort()).toEqual(
        [image.config, ...image.layers.map(({ digest }) => digest)].sort(),
      );
      registry.clearRequests();
      expect(await push()).toMatchObject({ code: 0 });
      // nothing is sent twice
      expect(registry.requestsTo("/blobs/").reduce((sum, { received }) => sum + received, 0)).toBe(0);
    },
    60_000,
  );

  test.concurrent("goes on when connections break, and servers fail for a while", async () => {
    using setup = await start();
    const { registry, push, pushed } = setup;
    registry.fault(/uploads/, { cutUploadAfter: 500_000 }, { method: "PATCH", times: 2 });
    registry.fault(/uploads/, { cutUploadAfter: 500_000 }, { method: "PUT", times: 1 });
    registry.fault(/uploads/, { status: 503 }, { method: "POST" });
    registry.fault(/manifests/, { status: 429, headers: { "Retry-After": "1" } }, { method: "PUT" });
    expect(await push()).toMatchObject({ code: 0 });
    expect(pushed()).toBe(image.manifest);
  }, 60_000);

  test.concurrent("takes layers from another repository of the registry", async () => {
    using setup = await start();
    const { registry, push, pushed } = setup;
    registry.content.addLayout("library/base", scratch.join("layout"));
    expect(await push("--mount-from", "library/base")).toMatchObject({ code: 0 });
    expect(pushed()).toBe(image.manifest);
    const sent = registry.requestsTo("/blobs/").reduce((sum, { received }) => sum + received, 0);
    expect(sent).toBeLessThan(1000);
  }, 60_000);

  test.concurrent.each([
    ["a wrong password", { auth: { scheme: "basic", ...user } }, "somebody:wrong", /credentials.*\nhint: /],
    [
      "a token for pulling only",
      {
        auth: {
          scheme: "bearer",
          user,
          grant: (scopes: string[]) => scopes.map((s) => s.replace(/:[^:]*$/, ":pull")),
        },
      },
      undefined,
      /does not allow repository:team\/app:.*push/,
    ],
  ] as [string, RegistryOptions, string | undefined, RegExp][])(
    "%s is refused before anything is sent",
    async (_, options, login, message) => {
      using setup = await start(options, login);
      const { registry, push, pushed } = setup;
      const { code, stderr } = await push();
      expect(code).toBe(1);
      expect(stderr).toMatch(message);
      expect(pushed()).toBeUndefined();
      expect(registry.content.blobs("team/app")).toEqual([]);
    },
    60_000,
  );
});
