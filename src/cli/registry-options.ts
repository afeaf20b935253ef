import type { RegistryOptions } from "../oci/containers/configuration.ts";
import type { Arguments } from "./arguments.ts";

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
