import type { FoundManifest, ImageSource } from "../source.ts";
import type { ImagePolicy } from "./policy.ts";

/**
 * The source, whose manifest is only to be had when the policy accepts it.
 * @param extent what signatures have to be of: the image, for which a signature of the index that it was chosen from
 * does as well; or the index, where there is one.
 */
export function verifiedSource(
  source: ImageSource,
  policy: ImagePolicy,
  extent: "image" | "index",
): ImageSource {
  const find = source.manifest.bind(source);
  const accepted = new Set<string>();
  source.manifest = async (): Promise<FoundManifest> => {
    const found = await find();
    const subject = extent === "index" ? (found.index ?? found) : found;
    const key = `${found.digest} ${found.index?.digest}`;
    if (!accepted.has(key)) await policy.verify(subject, source);
    accepted.add(key);
    return found;
  };
  return source;
}
