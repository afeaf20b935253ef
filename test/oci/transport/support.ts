import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "../../../src/errors.ts";
import { openSource, type SourceOptions } from "../../../src/oci/open-source.ts";
import { parseReference } from "../../../src/oci/reference.ts";
import type { FoundManifest, ImageSource } from "../../../src/oci/source.ts";
import { O_DIRECTORY, O_RDONLY, open } from "../../../src/sys/file.ts";
import { file, type TarItem } from "../../support/tar-writer.ts";
import { FIXTURES } from "../support.ts";

/** An archive that skopeo wrote, and what skopeo says about it. */
export const SAVED = join(FIXTURES, "docker-archive/hardlinks.tar");
export const SAVED_MANIFEST = "sha256:28e7d0421e56b9b76ca969d03459ae0501af6b9aa4c5d3bf71adb6260241a1e8";
export const SAVED_TAG = "example.test/hardlinks:v1";

/** Its parts, to be put together differently. */
export interface SavedParts {
  readonly configName: string;
  readonly config: Uint8Array<ArrayBuffer>;
  /** The lowest first. */
  readonly layers: readonly Uint8Array<ArrayBuffer>[];
}

export function savedParts(): SavedParts {
  const members = new Map<string, Uint8Array<ArrayBuffer>>();
  const tar = readFileSync(SAVED);
  for (let at = 0; tar[at] !== 0; ) {
    const name = tar.latin1Slice(at, tar.indexOf(0, at));
    const size = Number.parseInt(tar.latin1Slice(at + 124, at + 135), 8);
    members.set(name, new Uint8Array(tar.subarray(at + 512, at + 512 + size)));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  const [image] = JSON.parse(Buffer.from(members.get("manifest.json")!).toString());
  return {
    configName: image.Config,
    config: members.get(image.Config)!,
    layers: image.Layers.map((name: string) => members.get(name)!),
  };
}

export const json = (name: string, value: unknown): TarItem =>
  file(name, new Uint8Array(Buffer.from(JSON.stringify(value))));

/** Opens what a reference names and hands it to `use`. */
export async function withSource<T>(
  reference: string,
  directory: string,
  use: (source: ImageSource) => Promise<T>,
  options: SourceOptions = {},
): Promise<T> {
  using temporary = open(directory, O_RDONLY | O_DIRECTORY);
  using source = openSource(parseReference(reference), temporary.fd, options);
  return await use(source);
}

/** The manifest's digest, or what is said against it. */
export async function digestOrError(
  reference: string,
  directory: string,
  options: SourceOptions = {},
): Promise<string> {
  try {
    return (await findManifest(reference, directory, options)).digest;
  } catch (error) {
    return describeError(error);
  }
}

export function findManifest(
  reference: string,
  directory: string,
  options: SourceOptions = {},
): Promise<FoundManifest> {
  return withSource(reference, directory, (source) => source.manifest(), options);
}
