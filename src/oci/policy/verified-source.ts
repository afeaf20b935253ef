import type { FoundManifest, ImageSource } from "../source.ts";
import type { ImagePolicy } from "./policy.ts";

/** The source, whose manifest is only to be had when the policy accepts it. */
export function verifiedSource(source: ImageSource, policy: ImagePolicy): ImageSource {
  const find = source.manifest.bind(source);
  source.manifest = async (): Promise<FoundManifest> => {
    const found = await find();
    await policy.verify(found, source);
    return found;
  };
  return source;
}
