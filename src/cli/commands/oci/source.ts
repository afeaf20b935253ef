import { loadRegistryConfiguration } from "../../../oci/containers/configuration.ts";
import { parseImageNames } from "../../../oci/containers/short-names.ts";
import { hasSource } from "../../../oci/delta/source-image.ts";
import { openFirst } from "../../../oci/open-first.ts";
import { openSource, type SourceOptions } from "../../../oci/open-source.ts";
import { parsePlatform } from "../../../oci/platform.ts";
import type { ImageReference } from "../../../oci/reference.ts";
import type { ImageSource } from "../../../oci/source.ts";
import type { Repository } from "../../../repository/repository.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { registryOptions, retriesShownIn } from "../../registry-options.ts";

/** What the argument IMAGE names outside of the repository, as the options say that all commands share which read it. */
export function openSourceArgument(
  { progress }: Context,
  repository: Repository,
  args: Arguments,
): Promise<{ reference: ImageReference; source: ImageSource }> {
  const registries = loadRegistryConfiguration(registryOptions(args));
  const references = parseImageNames(args.required("IMAGE"), () => registries.conf);
  const platform = args.text("platform");
  const policyFile = args.text("signature-policy");
  const options: SourceOptions = {
    ...(platform !== undefined && { platform: parsePlatform(platform) }),
    ...(policyFile !== undefined && { policyFile }),
    hasImage: (config) => hasSource(repository, config),
    anyPlatform: args.flag("all-platforms"),
    registries,
    onRetry: retriesShownIn(progress),
  };
  return openFirst(references, (candidate) => openSource(candidate, repository.dir.fd, options));
}
