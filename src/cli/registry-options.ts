import { describeError } from "../errors.ts";
import type { RetryListener } from "../http/retry.ts";
import type { RegistryOptions } from "../oci/containers/configuration.ts";
import type { Progress } from "../progress.ts";
import type { Arguments } from "./arguments.ts";
import { formatDuration } from "./format-bytes.ts";

/** What the options of `specs/registry.ts` say. */
export function registryOptions(args: Arguments): RegistryOptions {
  const authFile = args.text("authfile");
  const certDir = args.text("cert-dir");
  return {
    ...(authFile !== undefined && { authFile }),
    ...(certDir !== undefined && { certDir }),
    tlsVerify: !args.flag("no-tls-verify"),
  };
}

/** Shows why a request is repeated, and when. */
export function retriesShownIn(progress: Progress): RetryListener {
  return (error, delay) => {
    const when = delay < 1000 ? "" : ` in ${formatDuration(delay / 1000)}`;
    progress.event({ type: "message", text: `${describeError(error)}; trying again${when}` });
  };
}
