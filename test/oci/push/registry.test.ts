import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { loadRegistryConfiguration } from "../../../src/oci/containers/configuration.ts";
import { openTarget } from "../../../src/oci/push/open-target.ts";
import { pushImage } from "../../../src/oci/push/push.ts";
import { type ProgressEvent, silentProgress } from "../../../src/progress.ts";
import type { Repository } from "../../../src/repository/repository.ts";
import { SHA256 } from "../../../src/verity/digest.ts";
import { startDockerRegistry } from "../../support/docker-registry.ts";
import { digestOf, writeLayout } from "../../support/oci-layout.ts";
import { startRegistry, type TestRegistry } from "../../support/registry.ts";
import { writeSampleLayout } from "../../support/sample-images.ts";
import { testNeeding } from "../../support/skip.ts";
import { directory, file, noise, writeTar } from "../../support/tar-writer.ts";
import { tempDirInMemory } from "../../support/temp.ts";
import { newRepository, pull } from "../support.ts";
import { failure, type ManifestJson, PLAIN_REGISTRY, plainDigest, push } from "./support.ts";

const scratch = tempDirInMemory(512 * 1024 * 1024);
const LAYOUT = scratch.join("layout");
const IMAGES = writeSampleLayout(LAYOUT);
let repository: Repository;
beforeAll(async () => {
  repository = newRepository(scratch.join("repository"), SHA256);
  await pull(repository, `oci:${LAYOUT}:many`, { tag: "many" });
  await pull(repository, `oci:${LAYOUT}:odd`, { tag: "odd", keepBlobs: true });
});
afterAll(() => {
  repository[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

const uploads = (registry: TestRegistry) =>
  registry.requests.filter(({ method }) => method === "POST").length;
const manifestOf = ({ content }: TestRegistry, name: string, reference: string) =>
  JSON.parse(Buffer.from(content.manifest(name, reference)!.bytes).toString()) as ManifestJson;

describe("a registry", () => {
  test.each([1, 3])("has everything before the manifest, with %d threads", async (jobs) => {
    await using registry = await startRegistry();
    const { content } = registry;
    const report = await push(repository, "many", `docker://${registry.host}/team/app:v1`, { jobs });
    expect(content.manifest("team/app", "v1")!.digest).toBe(report.manifest);
    const manifest = manifestOf(registry, "team/app", "v1");
    expect(manifest.config.digest).toBe(IMAGES.many.config);
    for (const [i, { diffId }] of IMAGES.many.layers.entries()) {
      const { mediaType, digest } = manifest.layers[i]!;
      expect(plainDigest(mediaType, new Uint8Array(content.blob("team/app", digest)!))).toBe(diffId);
    }
    expect(registry.requests.at(-1)).toMatchObject({ method: "PUT", path: "/v2/team/app/manifests/v1" });

    registry.clearRequests();
    const again = await push(repository, "many", `docker://${registry.host}/team/app:v2`, { jobs });
    expect(again.layers.every(({ outcome }) => outcome === "present")).toBe(true);
    expect(uploads(registry)).toBe(0);
  });

  test("gets the published blobs where they were kept", async () => {
    await using registry = await startRegistry();
    const report = await push(repository, "odd", `docker://${registry.host}/odd`, { jobs: 2 });
    expect(report.manifest as string).toBe(IMAGES.odd.manifest);
    expect(registry.content.manifest("odd", "latest")!.digest).toBe(IMAGES.odd.manifest);
    expect(registry.content.blobs("odd").sort()).toEqual(
      [IMAGES.odd.config, ...IMAGES.odd.layers.map(({ digest }) => digest)].sort(),
    );
  });

  test("is asked for blobs that other repositories have", async () => {
    await using registry = await startRegistry();
    const { host, content } = registry;
    content.addLayout("base/image", LAYOUT);
    // the tag says where the image came from
    await pull(repository, `oci:${LAYOUT}:odd`, { tag: `docker://${host}/base/image:odd`, keepBlobs: true });
    const report = await push(repository, "odd", `docker://${host}/derived`);
    expect(report.layers.map(({ outcome }) => outcome)).toEqual(report.layers.map(() => "mounted"));
    const named = await push(repository, "many", `docker://${host}/other:t`, { mountFrom: ["base/image"] });
    // only the layer that was published without compression is the same
    expect(named.layers.filter(({ outcome }) => outcome === "mounted").length).toBe(1);
  });

  test("that mounts nothing gets everything", async () => {
    await using registry = await startRegistry({ mounts: false });
    registry.content.addLayout("base", LAYOUT);
    const report = await push(repository, "odd", `docker://${registry.host}/derived`, {
      mountFrom: ["base", "not/there"],
    });
    expect(report.layers.every(({ outcome }) => outcome === "written")).toBe(true);
    expect(registry.content.manifest("derived", "latest")!.digest).toBe(IMAGES.odd.manifest);
  });

  test("whose connections break gets the image nevertheless", async () => {
    await using registry = await startRegistry();
    registry.fault("/v2/app/blobs/uploads/", { cutUploadAfter: 1_000_000 }, { method: "PATCH" });
    registry.fault("/v2/app/manifests/", { status: 503 }, { method: "PUT" });
    const report = await push(repository, "odd", `docker://${registry.host}/app:t`);
    expect(registry.content.manifest("app", "t")!.digest).toBe(report.manifest);
  }, 20_000);

  test("is told a digest only when it is that of the image", async () => {
    await using registry = await startRegistry();
    const { host, content } = registry;
    await push(repository, "odd", `docker://${host}/app@${IMAGES.odd.manifest}`);
    expect(content.manifest("app", IMAGES.odd.manifest)).toBeDefined();
    expect(content.tags("app")).toEqual([]);
    expect(await failure(push(repository, "many", `docker://${host}/app@${IMAGES.many.manifest}`))).toContain(
      `asks for ${IMAGES.many.manifest}, but the image is sha256:`,
    );
  });

  test("that refuses is named", async () => {
    await using registry = await startRegistry({
      auth: { scheme: "basic", username: "somebody", password: "secret" },
    });
    const message = await failure(push(repository, "odd", `docker://${registry.host}/app:t`));
    expect(message).toContain(`docker://${registry.host}/app:t`);
  });

  test("that takes no layer ends all that is under way", async () => {
    await using registry = await startRegistry();
    const { host } = registry;
    registry.fault("/v2/app/blobs/uploads/", { status: 403 }, { method: "POST", times: Infinity });
    const message = await failure(push(repository, "odd", `docker://${host}/app:t`, { jobs: 3 }));
    expect(message).toContain("403");
    expect(registry.content.tags("app") ?? []).toEqual([]);
  });

  test("uploads are shown beside what is packed", async () => {
    await using registry = await startRegistry();
    const events: ProgressEvent[] = [];
    const progress = { event: (event: ProgressEvent) => void events.push(event) };
    await using target = openTarget(repository, `docker://${registry.host}/app`, {
      progress,
      registries: PLAIN_REGISTRY,
    });
    await pushImage(repository, "odd", target, { compression: "gzip", level: undefined, jobs: 1, progress });
    const ids = (type: string) =>
      events.flatMap((event) => (event.type === type && "id" in event ? [event.id] : [])).sort();
    expect(ids("start")).toEqual(ids("done"));
    expect(ids("start").filter((id) => id.startsWith("upload ")).length).toBe(5);
  });
});

describe("a manifest with a subject", () => {
  const layout = scratch.join("subject");
  const SUBJECT = {
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: digestOf(Buffer.of(1)),
    size: 1,
  };
  const [image] = writeLayout(layout, [
    {
      tag: "t",
      layers: [{ tar: writeTar([directory("usr/"), file("usr/a", noise(500, 1))]), packing: "plain" }],
      manifest: (manifest) => Object.assign(manifest, { subject: SUBJECT, annotations: { a: "b" } }),
    },
  ]);
  beforeAll(async () => {
    await pull(repository, `oci:${layout}:t`, { tag: "referrer" });
  });

  test("is listed by the registry", async () => {
    await using registry = await startRegistry();
    await push(repository, "referrer", `docker://${registry.host}/app:t`);
    expect(registry.content.tags("app")).toEqual(["t"]);
  });

  test("is listed under the tag for it where the registry has no list", async () => {
    await using registry = await startRegistry({ referrersApi: false });
    const tag = SUBJECT.digest.replace(":", "-");
    const other = registry.content.addManifest("app", { schemaVersion: 2, layers: [] }, SUBJECT.mediaType);
    const index = {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [other],
    };
    registry.content.addManifest("app", index, index.mediaType, tag);
    for (let i = 0; i < 2; i++) await push(repository, "referrer", `docker://${registry.host}/app:t`);
    const { bytes } = registry.content.manifest("app", tag)!;
    expect(JSON.parse(Buffer.from(bytes).toString())).toEqual({
      ...index,
      manifests: [
        other,
        {
          mediaType: SUBJECT.mediaType,
          digest: image!.manifest,
          size: registry.content.manifest("app", "t")!.bytes.length,
          artifactType: "application/vnd.oci.image.config.v1+json",
          annotations: { a: "b" },
        },
      ],
    });
  });
});

testNeeding({ tool: "docker-registry" }, { tool: "skopeo" })(
  "docker's registry takes it, and skopeo gets it back",
  async () => {
    using registry = await startDockerRegistry({ user: { username: "user", password: "secret" } });
    const destination = `docker://${registry.host}/team/app:v1`;
    await using target = openTarget(repository, destination, {
      progress: silentProgress,
      registries: loadRegistryConfiguration({
        authFile: registry.authFile,
        certDir: registry.certificates,
      }),
    });
    const { manifest } = await pushImage(repository, "many", target, {
      compression: "zstd",
      level: undefined,
      jobs: 2,
    });
    const options = [`--authfile=${registry.authFile}`, `--cert-dir=${registry.certificates}`];
    const inspected = Bun.spawnSync(["skopeo", "inspect", ...options, destination]);
    expect((JSON.parse(inspected.stdout.toString()) as { Digest: string }).Digest).toBe(manifest);
    const copied = Bun.spawnSync([
      "skopeo",
      "copy",
      "-q",
      "--insecure-policy",
      ...options.map((option) => option.replace("--", "--src-")),
      destination,
      `dir:${scratch.join("copied")}`,
    ]);
    expect(copied.stderr.toString()).toBe("");
  },
);
