import { CfsError } from "../../errors.ts";
import type { BucketAddress } from "./s3.ts";

/** What the user says about a bucket, which goes before what the environment says. */
export interface BucketSettings {
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined;
}

const SCHEME = "s3://";
const REGION = "us-east-1";

export function isBucketUrl(text: string): boolean {
  return text.startsWith(SCHEME);
}

/**
 * @param text `s3://BUCKET[/PREFIX]`.
 * @throws CfsError Invalid; Permission when there are no credentials
 */
export function bucketAddress(
  text: string,
  settings: BucketSettings,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): BucketAddress {
  const [bucket = "", ...rest] = text.slice(SCHEME.length).split("/");
  const parts = rest.filter((part) => part !== "");
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(bucket) || parts.some((part) => part === "." || part === ".."))
    throw new CfsError(
      "Invalid",
      `'${text}' is not a bucket: it has to be s3://BUCKET or s3://BUCKET/PREFIX`,
    );
  const variable = (...names: string[]) =>
    names.map((name) => environment[name]).find((value) => value !== undefined && value !== "");
  const endpoint = settings.endpoint ?? variable("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
  if (endpoint !== undefined && !/^https?:$/.test(URL.parse(endpoint)?.protocol ?? ""))
    throw new CfsError("Invalid", "the endpoint of the bucket is not an http or https URL");
  const accessKeyId = settings.credentials?.accessKeyId ?? variable("AWS_ACCESS_KEY_ID");
  const secretAccessKey = settings.credentials?.secretAccessKey ?? variable("AWS_SECRET_ACCESS_KEY");
  if (accessKeyId === undefined || secretAccessKey === undefined)
    throw new CfsError("Permission", `there are no credentials for ${SCHEME}${bucket}`, {
      hint: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass --access-key-id and --secret-key-file",
    });
  return {
    bucket,
    prefix: parts.map((part) => `${part}/`).join(""),
    endpoint,
    region: settings.region ?? variable("AWS_REGION", "AWS_DEFAULT_REGION") ?? REGION,
    accessKeyId,
    secretAccessKey,
    // One that belongs to other credentials would not do.
    sessionToken: settings.credentials === undefined ? variable("AWS_SESSION_TOKEN") : undefined,
  };
}
