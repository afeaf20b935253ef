import { expect, test } from "bun:test";
import { loadRegistryConfiguration } from "../../../src/oci/containers/configuration.ts";
import { openSource } from "../../../src/oci/open-source.ts";
import { pullImage } from "../../../src/oci/pull/pull.ts";
import { parseReference } from "../../../src/oci/reference.ts";
import type { ProgressEvent } from "../../../src/progress.ts";
import { SHA256 } from "../../../src/verity/digest.ts";
import { writeLayout } from "../../support/oci-layout.ts";
import { startRegistry } from "../../support/registry.ts";
import { directory, file, noise, writeTar } from "../../support/tar-writer.ts";
import { tempDir } from "../../support/temp.ts";
import { newRepository } from "../support.ts";

const SIZE = 3_000_000;

test("what an earlier pull has fetched is announced as resumed", async () => {
  using dir = tempDir();
  const tar = writeTar([directory("usr/"), file("usr/x", noise(SIZE, 1))]);
  const [image] = writeLayout(dir.join("layout"), [{ tag: "t", layers: [{ tar, packing: "plain" }] }]);
  await using registry = await startRegistry();
  registry.content.addLayout("app", dir.join("layout"));
  using repository = newRepository(dir.join("repo"), SHA256);
  const registries = loadRegistryConfiguration({ tlsVerify: false });
  const pull = async (progress: ProgressEvent[]) => {
    const reference = parseReference(`docker://${registry.host}/app:t`);
    using source = openSource(reference, repository.dir.fd, { registries });
    await pullImage(repository, source, { jobs: 1, progress: { event: (e) => void progress.push(e) } });
  };
  const layer = image!.layers[0]!.digest;
  const first: ProgressEvent[] = [];
  // breaks after a million bytes, and then the registry is gone for good
  registry.fault(`/v2/app/blobs/${layer}`, { cutAfter: 1_000_000, bytesPerSecond: 50_000_000 }, { times: 1 });
  registry.fault(`/v2/app/blobs/${layer}`, { status: 403 }, { from: 2, times: Infinity });
  await expect(pull(first)).rejects.toThrow();
  expect(first[0]).toEqual({ type: "start", id: layer, label: layer, totalBytes: tar.length });

  registry.clearFaults();
  const second: ProgressEvent[] = [];
  await pull(second);
  const [announced, resumed] = second;
  expect(announced).toEqual(first[0]!);
  expect(resumed).toMatchObject({ type: "start", id: layer, totalBytes: tar.length });
  const { resumedBytes = 0 } = resumed as ProgressEvent & { type: "start" };
  expect(resumedBytes).toBeWithin(1, 1_000_001);
  expect(second.at(-1)).toEqual({ type: "done", id: layer, bytes: tar.length });
});
