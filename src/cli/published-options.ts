import type { ConnectionOptions } from "../published/connection.ts";
import type { Arguments } from "./arguments.ts";

/** What the options of `fetch` say about connections. */
export function connectionOptions(args: Arguments): ConnectionOptions {
  const certFile = args.text("client-cert");
  const keyFile = args.text("client-key");
  return {
    caFile: args.text("ca-file"),
    insecure: args.flag("no-tls-verify"),
    ...(certFile !== undefined && keyFile !== undefined && { client: { certFile, keyFile } }),
  };
}
