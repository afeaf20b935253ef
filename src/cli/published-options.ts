import { readFileSync } from "node:fs";
import { CfsError } from "../errors.ts";
import type { ConnectionOptions } from "../published/connection.ts";
import type { BucketSettings } from "../published/publish/bucket-address.ts";
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

/** What the options of `publish` say about a bucket. @throws CfsError Io, Invalid */
export function bucketSettings(args: Arguments): BucketSettings {
  const accessKeyId = args.text("access-key-id");
  const secretFile = args.text("secret-key-file");
  return {
    endpoint: args.text("endpoint"),
    region: args.text("region"),
    ...(accessKeyId !== undefined &&
      secretFile !== undefined && { credentials: { accessKeyId, secretAccessKey: readSecret(secretFile) } }),
  };
}

function readSecret(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new CfsError("Io", `${path} can't be read`, { cause: error });
  }
  if (!/^\S+$/.test(text)) throw new CfsError("Invalid", `${path} has to hold a secret key and nothing else`);
  return text;
}
