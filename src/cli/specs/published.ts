import type { CommandSpec, OptionSpec } from "../tree.ts";
import { JSON_OPTION } from "./common.ts";

/** Of every command that talks to a server of a published copy. */
export const CERTIFICATE_OPTIONS: readonly OptionSpec[] = [
  {
    name: "ca-file",
    kind: "string",
    value: "FILE",
    notEmpty: true,
    help: "Trust the certificates in this file too",
  },
  {
    name: "client-cert",
    kind: "string",
    value: "FILE",
    notEmpty: true,
    help: "Certificate to show to the server",
    requires: ["client-key"],
  },
  {
    name: "client-key",
    kind: "string",
    value: "FILE",
    notEmpty: true,
    help: "Key of that certificate",
    requires: ["client-cert"],
  },
];

/** Commands about copies of repositories on web servers and in buckets. */
export const PUBLISHED_COMMANDS: readonly CommandSpec[] = [
  {
    name: "fetch",
    summary: "Fetch streams and images from a copy of a repository on a web server",
    description:
      "The copy is one made by publish, or just the files of a repository. Everything that a stream or an image " +
      "needs is fetched, unless it is there, and has to have the digest that it is named after. Refs are left under " +
      "their names when all is complete. What an interrupted run has fetched is not fetched again. " +
      "Prints the SHA-256 of the content of each stream, and the digest of each stream and image.",
    positionals: [
      { name: "URL", help: "Directory of the copy, http or https; may hold a user and password" },
      {
        name: "NAME",
        variadic: true,
        help: "ID or refs/NAME of a stream, images/HEX or images/refs/NAME; refs, images/refs and directories below them stand for all refs in them",
      },
    ],
    options: [
      {
        name: "ref",
        kind: "string",
        value: "NAME",
        notEmpty: true,
        help: "Leave a ref of this name instead",
      },
      ...CERTIFICATE_OPTIONS,
      { name: "no-tls-verify", kind: "boolean", help: "Accept any certificate of the server" },
      JSON_OPTION,
    ],
    load: () => import("../commands/fetch.ts"),
  },
  {
    name: "publish",
    summary: "Publish refs of the repository in a folder or a bucket, to be fetched from there",
    description:
      "Any web server can serve what it makes: fetch needs nothing else. Only what is missing is copied, and the refs " +
      "come when all that they need is there. What was published before stays, unless --prune is given. One command " +
      "at a time may publish to a place. The credentials for buckets are those of the AWS_* variables: " +
      "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL_S3.",
    positionals: [
      {
        name: "DEST",
        completes: "directory",
        help: "A folder, or s3://BUCKET[/PREFIX]: new, or made by this command",
      },
      {
        name: "NAME",
        completes: "ref",
        optional: true,
        variadic: true,
        help: "refs/NAME of a stream, images/refs/NAME of an image, or a directory of refs; all refs by default",
      },
    ],
    options: [
      {
        name: "prune",
        kind: "boolean",
        help: "Remove what was published before and is not among these refs, and the objects of it",
      },
      {
        name: "zerocopy",
        kind: "boolean",
        help: "Let a folder share blocks or files with the repository where that is possible",
      },
      {
        name: "endpoint",
        kind: "string",
        value: "URL",
        notEmpty: true,
        help: "The service that has the bucket; else AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or Amazon's",
      },
      {
        name: "region",
        kind: "string",
        notEmpty: true,
        help: "Region of the bucket; else AWS_REGION, AWS_DEFAULT_REGION, or us-east-1",
      },
      {
        name: "access-key-id",
        kind: "string",
        value: "ID",
        notEmpty: true,
        help: "Instead of AWS_ACCESS_KEY_ID",
        requires: ["secret-key-file"],
      },
      {
        name: "secret-key-file",
        kind: "string",
        value: "FILE",
        notEmpty: true,
        help: "File with the secret key, instead of AWS_SECRET_ACCESS_KEY",
        requires: ["access-key-id"],
      },
      JSON_OPTION,
    ],
    load: () => import("../commands/publish.ts"),
  },
];
