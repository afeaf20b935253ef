import type { CommandSpec } from "../tree.ts";
import { JSON_OPTION } from "./common.ts";

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
      { name: "no-tls-verify", kind: "boolean", help: "Accept any certificate of the server" },
      JSON_OPTION,
    ],
    load: () => import("../commands/fetch.ts"),
  },
];
