import { describeError } from "../../../errors.ts";
import { loadRegistryConfiguration } from "../../../oci/containers/configuration.ts";
import { openSource } from "../../../oci/open-source.ts";
import { parsePlatform } from "../../../oci/platform.ts";
import type { ImageReference } from "../../../oci/reference.ts";
import type { ImageSource } from "../../../oci/source.ts";
import type { Repository } from "../../../repository/repository.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { formatDuration } from "../../format-bytes.ts";
import { registryOptions } from "../../registry-options.ts";

/** Opens what a reference names as the options say that all commands share which read from outside. */
export function sourceArgument(
  { progress }: Context,
  repository: Repository,
  reference: ImageReference,
  args: Arguments,
): ImageSource {
  const platform = args.text("platform");
  const policyFile = args.text("signature-policy");
  return openSource(reference, repository.dir.fd, {
    ...(platform !== undefined && { platform: parsePlatform(platform) }),
    ...(policyFile !== undefined && { policyFile }),
    registries: loadRegistryConfiguration(registryOptions(args)),
    onRetry: (error, delay) => {
      const text = `${describeError(error)}; trying again in ${formatDuration(delay / 1000)}`;
      progress.event({ type: "message", text });
    },
  });
}
